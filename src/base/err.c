#include "orderly/base/err.h"

const char *err_name(enum err e)
{
    switch (e) {
#define X(name, text)                                                                              \
    case ERR_##name:                                                                               \
        return #name;
        ERR_MAP(X)
#undef X
    }
    return "UNKNOWN";
}

const char *err_text(enum err e)
{
    switch (e) {
#define X(name, text)                                                                              \
    case ERR_##name:                                                                               \
        return text;
        ERR_MAP(X)
#undef X
    }
    return "unknown error";
}
