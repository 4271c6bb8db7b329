"""The standard tests of LangChain chat models with the client and the backend of HEDDLE_CLIENT and HEDDLE_MODEL."""
import os

from langchain_anthropic import ChatAnthropic
from langchain_core.language_models import BaseChatModel
from langchain_openai import ChatOpenAI
from langchain_tests.integration_tests import ChatModelIntegrationTests

BASE_URL = os.environ["HEDDLE_BASE_URL"]
CLIENT = os.environ["HEDDLE_CLIENT"]
MODEL = os.environ["HEDDLE_MODEL"]
LACKS = set(os.environ.get("HEDDLE_LACKS", "").split(","))

COMMON = {"model": MODEL, "api_key": "sk-e2e", "max_retries": 0}
PARAMS = {
    "anthropic": {**COMMON, "base_url": BASE_URL, "max_tokens": 2000},
    "openai": {**COMMON, "base_url": f"{BASE_URL}/v1", "stream_usage": True},
    "responses": {**COMMON, "base_url": f"{BASE_URL}/v1", "use_responses_api": True},
}


class TestBackend(ChatModelIntegrationTests):
    @property
    def chat_model_class(self) -> type[BaseChatModel]:
        return ChatAnthropic if CLIENT == "anthropic" else ChatOpenAI

    @property
    def chat_model_params(self) -> dict:
        return PARAMS[CLIENT]

    @property
    def has_tool_choice(self) -> bool:
        return "tool_choice" not in LACKS

    @property
    def structured_output_kwargs(self) -> dict:
        return {"method": "json_schema"} if "tool_choice" in LACKS else {}

    @property
    def supports_json_mode(self) -> bool:
        return CLIENT != "anthropic" and "json_mode" not in LACKS

    @property
    def supports_anthropic_inputs(self) -> bool:
        return True

    @property
    def supports_image_inputs(self) -> bool:
        return True

    @property
    def supports_image_urls(self) -> bool:
        return "image_url" not in LACKS

    @property
    def supports_pdf_inputs(self) -> bool:
        return "pdf" not in LACKS

    @property
    def supports_image_tool_message(self) -> bool:
        return CLIENT != "openai" and "result_media" not in LACKS

    @property
    def model_override_value(self) -> str:
        return MODEL
