"""Turnspit in FastAPI: one endpoint enqueues, the other shows what became of the job.

uvicorn examples.fastapi_app.main:api

curl -X POST '127.0.0.1:8000/reports?month=2026-02'     {"id":1,"state":"ready",...}
curl 127.0.0.1:8000/reports/1                           {"id":1,"state":"completed",...}
"""

from typing import Annotated

from fastapi import FastAPI, HTTPException, Query
from pydantic import BaseModel

from turnspit import Job, JobContext, JobNotFound, JobState, Turnspit
from turnspit.contrib.fastapi import lifespan

app = Turnspit("sqlite:///reports.db")


class Report(BaseModel):
    """What the task makes."""

    month: str
    pages: int


class ReportJob(BaseModel):
    """What a client sees of a job."""

    id: int
    state: JobState
    progress: float | None = None
    report: Report | None = None


@app.task
async def build_report(job: JobContext, month: str) -> Report:
    job.progress(0.5, "counting")
    return Report(month=month, pages=12)


# A small service works its jobs off itself. Leave ``worker=True`` out once workers run on their own.
api = FastAPI(lifespan=lifespan(app, worker=True))


@api.post("/reports", status_code=202)
async def order_report(month: Annotated[str, Query(pattern=r"^\d{4}-\d{2}$")]) -> ReportJob:
    return await _show(await build_report.aenqueue(month))


@api.get("/reports/{job_id}")
async def show_report(job_id: int) -> ReportJob:
    try:
        return await _show(await app.jobs.aget(job_id))
    except JobNotFound as error:
        raise HTTPException(404, str(error)) from error


async def _show(job: Job[Report]) -> ReportJob:
    report = await job.aget_result() if job.state is JobState.COMPLETED else None
    return ReportJob(id=job.id, state=job.state, progress=job.progress, report=report)
