/* Tokens, roles and origins. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "../../../../src/infra/api/access.h"
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#define SHOP "shop-000000000000000000000000000000000000000000000000000000000001"
#define SHOP_NEXT "shop-000000000000000000000000000000000000000000000000000000000002"
#define BOSS "boss-000000000000000000000000000000000000000000000000000000000003"
#define CARRIER "carr-000000000000000000000000000000000000000000000000000000000004"

static const char tokens[] = "# who may\n"
                             "\n"
                             "customer " SHOP " shop\r\n"
                             "\tcustomer  " SHOP_NEXT "\tshop # the next one\n"
                             "operator " BOSS "\n"
                             "context " CARRIER " carrier";

static struct access *some_access(void)
{
    static struct access a;
    char why[ACCESS_WHY_MAX];

    a = (struct access){ .is_on = false };
    assert_int_equal(access_parse(&a, str_of(tokens), why), ERR_OK);
    return &a;
}

static enum access_result check(struct access *a, const char *authorization, unsigned roles)
{
    enum role role;
    struct text_id caller;

    return access_check(a, str_of(authorization), roles, &role, &caller);
}

static void access__lets_each_role_do_what_is_its(void **state)
{
    struct access *a = some_access();

    (void)state;
    assert_int_equal(check(a, "Bearer " SHOP, ROLE_CUSTOMER), ACCESS_FINE);
    assert_int_equal(check(a, "Bearer " SHOP_NEXT, ROLE_CUSTOMER), ACCESS_FINE);
    assert_int_equal(check(a, "bearer " SHOP, ROLE_CUSTOMER | ROLE_CONTEXT), ACCESS_FINE);
    assert_int_equal(check(a, "Bearer " SHOP, ROLE_CONTEXT), ACCESS_FORBIDDEN);
    assert_int_equal(check(a, "Bearer " SHOP, ROLE_OPERATOR), ACCESS_FORBIDDEN);
    assert_int_equal(check(a, "Bearer " CARRIER, ROLE_CONTEXT), ACCESS_FINE);
    assert_int_equal(check(a, "Bearer " BOSS, ROLE_CUSTOMER), ACCESS_FINE);
    assert_int_equal(check(a, "Bearer " BOSS, ROLE_CONTEXT), ACCESS_FINE);
    assert_int_equal(check(a, "Bearer " BOSS, ROLE_OPERATOR), ACCESS_FINE);
    assert_int_equal(check(a, "", ROLE_ANYBODY), ACCESS_FINE);
}

static void access__knows_no_other_token(void **state)
{
    static const char *const bad[] = {
        "Bearer x",         "Bearer ",           "Bearer",        "Basic " SHOP,
        "Bearer " SHOP "x", "Bearer " SHOP " x", "Bearer\t" SHOP, SHOP,
    };
    struct access *a = some_access();

    (void)state;
    assert_int_equal(check(a, "", ROLE_CUSTOMER), ACCESS_NO_TOKEN);
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        assert_int_equal(check(a, bad[i], ROLE_CUSTOMER), ACCESS_BAD_TOKEN);
}

static void access__names_the_caller_by_role_and_name(void **state)
{
    struct access *a = some_access();
    struct text_id first, next, boss;
    enum role role;

    (void)state;
    (void)access_check(a, STR("Bearer " SHOP), ROLE_CUSTOMER, &role, &first);
    assert_int_equal(role, ROLE_CUSTOMER);
    (void)access_check(a, STR("Bearer " SHOP_NEXT), ROLE_CUSTOMER, &role, &next);
    (void)access_check(a, STR("Bearer " BOSS), ROLE_CUSTOMER, &role, &boss);
    assert_int_equal(role, ROLE_OPERATOR);
    assert_true(text_id_eq(&first, &next)); /* a rotated token is the same caller */
    assert_true(str_eq(text_id_str(&first), STR("customer:shop")));
    assert_true(str_eq(text_id_str(&boss), STR("operator")));
}

static void access__makes_everybody_operator_without_a_file(void **state)
{
    struct access a = { .is_on = false };
    enum role role;
    struct text_id caller;

    (void)state;
    assert_int_equal(access_check(&a, STR_NONE, ROLE_CUSTOMER, &role, &caller), ACCESS_FINE);
    assert_int_equal(role, ROLE_OPERATOR);
}

static void access__refuses_a_file_with_a_bad_line_and_keeps_what_it_had(void **state)
{
    static const struct {
        const char *text, *why;
    } rows[] = {
        { "customer a\nking b\n", "line 2 does not start with customer, context or operator" },
        { "customer\n", "line 1 has no valid token" },
        { "customer t\xc3\xb6ken\n", "line 1 has no valid token" },
        { "customer a two/words\n",
          "line 1 has a name that is not 1 to 64 of A-Z a-z 0-9 . _ : -" },
        { "# nobody\n", "there is no token in it" },
        { "", "there is no token in it" },
    };
    struct access *a = some_access();
    char why[ACCESS_WHY_MAX];

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        assert_int_equal(access_parse(a, str_of(rows[i].text), why), ERR_INVALID);
        assert_string_equal(why, rows[i].why);
        assert_int_equal(check(a, "Bearer " SHOP, ROLE_CUSTOMER), ACCESS_FINE);
    }
    assert_int_equal(access_parse(a, STR("operator other"), why), ERR_OK);
    assert_int_equal(check(a, "Bearer " SHOP, ROLE_CUSTOMER), ACCESS_BAD_TOKEN);
}

static void access__reads_only_a_file_that_nobody_else_may_read(void **state)
{
    char path[] = "/tmp/orderly-tokens-XXXXXX", why[ACCESS_WHY_MAX];
    struct access a = { .is_on = false };
    int fd = mkstemp(path);

    (void)state;
    assert_true(fd >= 0);
    assert_int_equal(write(fd, tokens, sizeof(tokens) - 1), (ssize_t)sizeof(tokens) - 1);
    assert_int_equal(fchmod(fd, 0640), 0);
    assert_int_equal(access_load(&a, path, why), ERR_INVALID);
    assert_non_null(strstr(why, "0640"));
    assert_false(a.is_on);
    assert_int_equal(fchmod(fd, 0600), 0);
    assert_int_equal(access_load(&a, path, why), ERR_OK);
    assert_true(a.is_on);
    assert_int_equal(close(fd), 0);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(access_load(&a, path, why), ERR_IO);
    assert_int_equal(access_load(&a, "/", why), ERR_INVALID);
    assert_int_equal(a.n_tokens, 4);
}

static void access__slows_guessing_down(void **state)
{
    struct access a = { .is_on = true };

    (void)state;
    for (int i = 0; i < ACCESS_FAILURES_AT_ONCE; i++)
        assert_false(access_count_failure(&a, ACCESS_BAD_TOKEN, 5000));
    assert_true(access_count_failure(&a, ACCESS_BAD_TOKEN, 5999));
    assert_false(access_count_failure(&a, ACCESS_FORBIDDEN, 5999)); /* no guess */
    assert_false(access_count_failure(&a, ACCESS_NO_TOKEN, 5999));
    assert_false(access_count_failure(&a, ACCESS_BAD_TOKEN, 6000)); /* the next second */
    assert_int_equal(a.refused, ACCESS_FAILURES_AT_ONCE + 2);
    for (int i = 0; i < ACCESS_DELAYED_MAX; i++)
        assert_true(access_delay(&a));
    assert_false(access_delay(&a));
    access_undelay(&a);
    assert_true(access_delay(&a));
}

static void access__takes_unsafe_requests_from_pages_of_its_own_only(void **state)
{
    static const struct str others[] = { { "https://shop.example", 20 } };
    static const struct {
        const char *origin, *host;
        bool fine;
    } rows[] = {
        { "http://localhost:8080", "localhost:8080", true },
        { "http://LOCALHOST:8080", "localhost:8080", true },
        { "http://a.example", "a.example", true },
        { "http://a.example:80", "a.example", true },
        { "https://a.example", "a.example:443", true },
        { "https://shop.example", "a.example", true },
        { "http://shop.example", "a.example", false },
        { "http://localhost:8081", "localhost:8080", false },
        { "http://evil.example", "localhost:8080", false },
        { "http://a.example.evil.example", "a.example", false },
        { "null", "localhost:8080", false },
        { "", "localhost:8080", false },
        { "http://", "", false },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        assert_int_equal(access_origin_is_fine(str_of(rows[i].origin), str_of(rows[i].host), others,
                                               ARRAY_LEN(others)),
                         rows[i].fine);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(access__lets_each_role_do_what_is_its),
        cmocka_unit_test(access__knows_no_other_token),
        cmocka_unit_test(access__names_the_caller_by_role_and_name),
        cmocka_unit_test(access__makes_everybody_operator_without_a_file),
        cmocka_unit_test(access__refuses_a_file_with_a_bad_line_and_keeps_what_it_had),
        cmocka_unit_test(access__reads_only_a_file_that_nobody_else_may_read),
        cmocka_unit_test(access__slows_guessing_down),
        cmocka_unit_test(access__takes_unsafe_requests_from_pages_of_its_own_only),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
