"""The dashboard among a Django project's pages: who comes in, what they may do, on WSGI and on ASGI."""

from pathlib import Path

import pytest

from tests.contrib.programs import manage, write_settings
from tests.postgres import new_database

SETTINGS = """
INSTALLED_APPS += ["django.contrib.auth", "django.contrib.contenttypes", "django.contrib.sessions"]
MIDDLEWARE = [
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
]
ROOT_URLCONF = "urls"
LOGIN_URL = "/sign-in"
ALLOWED_HOSTS = ["testserver"]
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
DATABASES["default"]["ATOMIC_REQUESTS"] = True
"""

URLS = """
from django.urls import include, path
from turnspit.contrib.django.dashboard import dashboard_urls

def may_cancel(request, action):
    return action in ("read", "cancel") and request.headers.get("X-Role") == "canceller"

urlpatterns = [
    path("ops/turnspit/", include(dashboard_urls())),
    path("mine/", include(dashboard_urls(may_cancel))),
]
"""

TESTS = """
from django.contrib.auth.models import User
from django.test import Client, TestCase, TransactionTestCase
from django.urls import reverse

from examples.django_shop.shop.jobs import app, send_confirmation

OWN = {"Origin": "http://testserver", "Accept": "text/html", "Host": "testserver"}
FORM = "application/x-www-form-urlencoded"


class Dashboard(TransactionTestCase):
    def setUp(self):
        app.jobs.delete(all=True)
        self.job = send_confirmation.enqueue(order_id=7)

    def client_of(self, **rank):
        client = Client(headers=OWN, enforce_csrf_checks=True)
        client.force_login(User.objects.create_user("ädä", **rank))
        return client

    def test_strangers_sign_in_first(self):
        answer = Client(headers=OWN).get("/ops/turnspit/jobs?q=state:dead")
        assert (answer.status_code, answer.url) == (302, "/sign-in?next=/ops/turnspit/jobs%3Fq%3Dstate%3Adead")
        assert Client(headers=OWN | {"Accept": "application/json"}).get("/ops/turnspit/api/jobs").status_code == 403

    def test_who_is_no_staff_sees_nothing(self):
        assert self.client_of().get("/ops/turnspit/").status_code == 403

    def test_staff_looks(self):
        client = self.client_of(is_staff=True)
        page = client.get("/ops/turnspit/jobs").content.decode()
        assert f'href="/ops/turnspit/jobs/{self.job.id}"' in page, page
        overview, workers, job = (
            client.get(f"/ops/turnspit/{path}").content.decode() for path in ("", "workers", f"jobs/{self.job.id}")
        )
        assert '<code class="command">python manage.py turnspit worker</code>' in overview, overview
        assert "<code>python manage.py turnspit worker</code>" in workers, workers
        assert "python manage.py turnspit enqueue send_confirmation --args" in job, job
        assert "Cancel" not in client.get(f"/ops/turnspit/jobs/{self.job.id}").content.decode()
        assert client.get("/ops/turnspit/static/turnspit.js")["Content-Type"].startswith("text/javascript")
        assert client.get("/ops/turnspit/nowhere").status_code == 404
        assert client.post(f"/ops/turnspit/jobs/{self.job.id}/cancel").status_code == 403
        assert self.job.refresh().state == "ready"

    def test_superusers_act_and_the_audit_names_them(self):
        client = self.client_of(is_superuser=True)
        with self.assertLogs("turnspit.audit") as told:
            answer = client.post(f"/ops/turnspit/jobs/{self.job.id}/cancel", "back=/jobs", FORM)
        assert (answer.status_code, answer["Location"]) == (303, "/ops/turnspit/jobs")
        assert self.job.refresh().state == "cancelled"
        assert told.records[0].turnspit_audit["who"] == "ädä"
        assert "cancelled" in client.get("/ops/turnspit/jobs").content.decode()
        foreign = client.post("/ops/turnspit/theme", headers=OWN | {"Origin": "http://evil.example"})
        assert foreign.status_code == 403

    def test_cookies_keep_their_attributes(self):
        answer = self.client_of(is_staff=True).post("/ops/turnspit/theme", "theme=dark&back=/", FORM)
        cookie = answer.cookies["turnspit_theme"]
        assert (cookie.value, cookie["path"], cookie["samesite"]) == ("dark", "/ops/turnspit", "strict")

    def test_another_answer_to_who_may_do_what(self):
        client = Client(headers=OWN | {"X-Role": "canceller"})
        assert client.post(f"/mine/jobs/{self.job.id}/replay").status_code == 403
        assert client.post(f"/mine/jobs/{self.job.id}/cancel", "back=/", FORM).status_code == 303

    async def test_on_asgi_too(self):
        client, own = self.async_client_class(), {name: OWN[name] for name in ("Origin", "Accept")}
        await client.aforce_login(await User.objects.acreate(username="bob", is_superuser=True))
        assert str(self.job.id) in (await client.get("/ops/turnspit/jobs", headers=own)).content.decode()
        answer = await client.post(f"/ops/turnspit/jobs/{self.job.id}/cancel", "back=/", FORM, headers=own)
        assert answer.status_code == 303, answer.content
"""


@pytest.mark.parametrize(
    ("case", "engine"), [("TransactionTestCase", "sqlite"), ("TestCase", "sqlite"), ("TestCase", "postgres")]
)
def test_the_dashboard_is_part_of_the_site(tmp_path: Path, case: str, engine: str) -> None:
    url = new_database() if engine == "postgres" else f"sqlite:///{tmp_path}/shop.db"
    write_settings(tmp_path, url, SETTINGS)
    (tmp_path / "urls.py").write_text(URLS)
    (tmp_path / "test_dashboard.py").write_text(TESTS.replace("(TransactionTestCase)", f"({case})"))
    answer = manage(tmp_path, "test", "--noinput", "test_dashboard")
    assert answer.returncode == 0, answer.stderr
    assert "Ran 7 tests" in answer.stderr
