#include "orderly/infra/http/http.h"

const struct http_fault_row http_fault_rows[HTTP_FAULTS] = {
#define X(name, status, code, detail) [HTTP_FAULT_##name] = { status, code, detail },
    HTTP_FAULT_MAP(X)
#undef X
};

const char *http_method_name(enum http_method m)
{
    switch (m) {
#define X(name)                                                                                    \
    case HTTP_METHOD_##name:                                                                       \
        return #name;
        HTTP_METHOD_NAMES(X)
#undef X
    }
    UNREACHABLE("method");
}
