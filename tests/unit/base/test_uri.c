#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "orderly/base/check.h"
#include "orderly/base/uri.h"
#include <string.h>

static void uri__takes_references_of_every_kind(void **state)
{
    static const char *const texts[] = {
        "",
        "/",
        "/orderly",
        "orderly",
        "./a:b",
        "../x",
        "?q",
        "#f",
        "//host",
        "//host/path",
        "https://shop.example",
        "https://shop.example:8443/a/b?c=d&e=/?#f/?",
        "http://u:p@h:/",
        "http://[2001:db8::1]:80/",
        "http://127.0.0.1/",
        "http://%41/",
        "file:///etc/x",
        "urn:uuid:6e8bc430-9c3a-11d9-9669-0800200c9a66",
        "mailto:cncf@example.com",
        "tel:+1-816-555-1212",
        "x-a.b+c:",
        "/cloudevents/spec/pull/123",
        "1-555-123-4567",
        "sensors/tn-1234567/alerts",
        "a%20b",
        "/a;b,c=d!$&'()*+~",
        "ftp://x",
        "a/b:c",
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        if (!uri_is_reference(str_of(texts[i])))
            fail_msg("'%s' was refused", texts[i]);
    }
}

static void uri__refuses_what_the_grammar_does_not_know(void **state)
{
    static const char *const texts[] = {
        "a b",         " /a",
        "/a ",         "%",
        "%4",          "%zz",
        "/%4g",        "/a\"b",
        "/<a>",        "/a\\b",
        "/a^b",        "/a`b",
        "/{a}",        "/a|b",
        ":a",          "1:a",
        "a_b:c",       "http://[::1",
        "http://::1]", "http://a]b/",
        "http://h:8x", "http://h:80:80",
        "http://[]/",  "http://[::1]x/",
        "http://a b",  "a[b]",
        "?a[]",        "#a#b",
        "/\xc3\xa9",   "/\x7f",
        "/\n",
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        if (uri_is_reference(str_of(texts[i])))
            fail_msg("'%s' was taken", texts[i]);
    }
    assert_false(uri_is_reference(STR("/a\0b")));
    assert_false(uri_is_reference(STR("a\0:b")));
}

/* In a path: what is one character, alone. */
static void uri__knows_each_byte(void **state)
{
    (void)state;
    for (unsigned c = 0; c < 256; c++) {
        char text[3] = { '/', (char)c, 'x' };
        bool is_alnum = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
        bool is_known = is_alnum || (c && strchr("-._~!$&'()*+,;=:@/?#", (int)c));

        if (uri_is_reference((struct str){ text, 3 }) != is_known)
            fail_msg("byte %u", c);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(uri__takes_references_of_every_kind),
        cmocka_unit_test(uri__refuses_what_the_grammar_does_not_know),
        cmocka_unit_test(uri__knows_each_byte),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
