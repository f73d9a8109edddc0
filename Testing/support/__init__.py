"""What tests share: made inputs, tiny models, stand-ins for what is not here. Never shipped."""

from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
