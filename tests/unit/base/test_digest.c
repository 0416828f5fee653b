#include "orderly/base/check.h"
#include "orderly/base/digest.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void assert_sum(const uint8_t *sum, size_t n, const char *hex)
{
    assert_int_equal(strlen(hex), 2 * n);
    for (size_t i = 0; i < n; i++) {
        char two[3];

        (void)snprintf(two, sizeof(two), "%02x", sum[i]);
        assert_memory_equal(two, hex + 2 * i, 2);
    }
}

static void digest__is_blake2b(void **state)
{
    struct str abc = STR("abc");
    struct digest32 d32;
    struct digest16 d16;

    (void)state;
    digest32_of(&d32, NULL, 0);
    assert_sum(d32.b, 32, "0e5751c026e543b2e8ab2eb06099daa1d1e5df47778f7787faab45cdf12fe3a8");
    digest32_of(&d32, &abc, 1); /* over 00 00 00 00 00 00 00 03 61 62 63 */
    assert_sum(d32.b, 32, "7481e9dc42d8247a21e3207b4865a791d7ab7f7119c932efd03508b1148efc29");
    digest16_of(&d16, &abc, 1);
    assert_sum(d16.b, 16, "8805143fe8adeb645b130ac6e0e66acd");
}

static void digest__tells_where_one_part_ends(void **state)
{
    struct str one[] = { STR("ab"), STR("c") };
    struct str other[] = { STR("a"), STR("bc") };
    struct str none[] = { STR("ab"), STR("c"), STR_NONE };
    struct digest32 a;
    struct digest32 b;

    (void)state;
    digest32_of(&a, one, 2);
    digest32_of(&b, one, 2);
    assert_true(digest32_eq_const_time(&a, &b));
    digest32_of(&b, other, 2);
    assert_false(digest32_eq_const_time(&a, &b));
    digest32_of(&b, none, 3);
    assert_false(digest32_eq_const_time(&a, &b));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(digest__is_blake2b),
        cmocka_unit_test(digest__tells_where_one_part_ends),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
