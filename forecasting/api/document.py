"""The OpenAPI document. It depends on no request, so each process makes it once in each format."""

from functools import cache

from django.http import HttpResponse
from django.utils.encoding import force_bytes
from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.renderers import OpenApiJsonRenderer, OpenApiYamlRenderer
from drf_spectacular.settings import spectacular_settings
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.views import APIView

from forecasting.api.negotiation import AlwaysJson
from forecasting.api.parameters import one_of, require_known

RENDERERS = {"yaml": OpenApiYamlRenderer, "json": OpenApiJsonRenderer}


class Document(APIView):
    """The document as YAML or JSON; the address says which, unless `format` does."""

    authentication_classes = tuple(spectacular_settings.SERVE_AUTHENTICATION or ())
    permission_classes = tuple(spectacular_settings.SERVE_PERMISSIONS)
    content_negotiation_class = AlwaysJson  # of errors
    default = "yaml"

    @extend_schema(exclude=True)
    def get(self, request: Request) -> HttpResponse:
        """The document."""
        require_known(request.query_params, {"format"})
        form = one_of(request.query_params, "format", RENDERERS, default=self.default)
        headers = {"Content-Disposition": f'inline; filename="stockpred.{form}"'}
        return HttpResponse(document(form), content_type=RENDERERS[form].media_type, headers=headers)


@cache
def document(form: str) -> bytes:
    """The document in one format."""
    schema = SchemaGenerator().get_schema(public=True)  # type: ignore[no-untyped-call] # the library has no types here
    return force_bytes(RENDERERS[form]().render(schema, renderer_context={}))
