"""What every engine must do, sentence by sentence of ``turnspit.contract``."""
