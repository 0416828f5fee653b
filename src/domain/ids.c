#include "orderly/domain/ids.h"
#include "orderly/base/check.h"

static bool text_id_has(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
           c == '_' || c == ':' || c == '-';
}

bool text_id_parse(struct str text, struct text_id *out)
{
    if (text.n == 0 || text.n > TEXT_ID_MAX)
        return false;
    for (size_t i = 0; i < text.n; i++) {
        if (!text_id_has(text.p[i]))
            return false;
    }
    out->n = (uint8_t)text.n;
    memcpy(out->s, text.p, text.n);
    memset(out->s + text.n, 0, TEXT_ID_MAX - text.n);
    return true;
}

struct text_id text_id_of_word(const char *word, struct uuid u)
{
    struct text_id id = { 0 };
    size_t n = strlen(word);

    REQUIRE(n + 1 + UUID_TEXT_LEN <= TEXT_ID_MAX);
    memcpy(id.s, word, n);
    id.s[n] = '-';
    uuid_format(u, id.s + n + 1);
    id.n = (uint8_t)(n + 1 + UUID_TEXT_LEN);
    return id;
}

bool sku_parse(struct str text, struct sku *out)
{
    struct sku sku = { 0 };

    text = str_trim(text);
    if (text.n == 0 || text.n > SKU_MAX)
        return false;
    for (size_t i = 0; i < text.n; i++) {
        char c = text.p[i];

        if (c >= 'a' && c <= 'z')
            c = (char)(c - 'a' + 'A');
        if (!((c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' || c == '_' || c == '-'))
            return false;
        sku.s[i] = c;
    }
    sku.n = (uint8_t)text.n;
    *out = sku;
    return true;
}
