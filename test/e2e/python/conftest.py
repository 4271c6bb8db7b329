"""Shared by all Python e2e tests."""
import base64
import io
import wave

import httpx
import pytest

PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
PDF = b"%PDF-1.4\n1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj\n2 0 obj<</Type/Pages/Kids[]/Count 0>>endobj\ntrailer<</Root 1 0 R>>\n%%EOF\n"


def _wav() -> bytes:
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(8000)
        sound.writeframes(b"\0\0" * 80)
    return buffer.getvalue()


@pytest.fixture(autouse=True)
def sample_files(monkeypatch):
    """The standard tests download their pictures and recordings; here they get small ones without leaving the machine."""

    def get(url, **_):
        address = str(url)
        content = PDF if address.endswith(".pdf") else _wav() if address.endswith((".wav", ".mp3")) else PNG
        return httpx.Response(200, content=content, request=httpx.Request("GET", address))

    monkeypatch.setattr(httpx, "get", get)
