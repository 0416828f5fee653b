#include "orderly/app/failure.h"
#include "orderly/base/check.h"

enum treatment { TREATMENT_RETRIED, TREATMENT_PERMANENT };

static const struct {
    struct str text;
    enum treatment treatment;
} failures[FAILURE_CODE_COUNT] = {
#define X(name, text_, treatment_)                                                                 \
    [FAILURE_CODE_##name] = { { (text_), sizeof(text_) - 1 }, TREATMENT_##treatment_ },
    FAILURE_CODE_MAP(X)
#undef X
};

struct str failure_code_text(enum failure_code c)
{
    REQUIRE(c < FAILURE_CODE_COUNT);
    return failures[c].text;
}

bool failure_code_parse(struct str text, enum failure_code *out)
{
    for (unsigned i = 0; i < FAILURE_CODE_COUNT; i++) {
        if (str_eq(text, failures[i].text)) {
            *out = (enum failure_code)i;
            return true;
        }
    }
    return false;
}

bool failure_is_permanent(enum failure_code c)
{
    REQUIRE(c < FAILURE_CODE_COUNT);
    return failures[c].treatment == TREATMENT_PERMANENT;
}
