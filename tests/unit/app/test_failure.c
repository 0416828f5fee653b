#include "orderly/app/failure.h"
#include "orderly/domain/event.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void failure__codes_are_known_by_their_texts(void **state)
{
    enum failure_code back;

    (void)state;
    for (unsigned i = 0; i < FAILURE_CODE_COUNT; i++) {
        assert_true(failure_code_parse(failure_code_text((enum failure_code)i), &back));
        assert_int_equal(back, i);
    }
    assert_false(failure_code_parse(STR("handler_faile"), &back));
    assert_false(failure_code_parse(STR_NONE, &back));
}

static void failure__of_the_message_itself_is_permanent_and_of_its_handling_is_not(void **state)
{
    (void)state;
    assert_false(failure_is_permanent(FAILURE_CODE_HANDLER_FAILED));
    assert_false(failure_is_permanent(FAILURE_CODE_DAMAGED));
    assert_true(failure_is_permanent(FAILURE_CODE_UNKNOWN_ORDER));
}

/* What is wrong with a message from outside is the same whenever it is handed over. */
static void failure__of_every_verdict_has_a_code_and_is_permanent(void **state)
{
    (void)state;
    for (unsigned v = VERDICT_FINE + 1; v < VERDICT_COUNT; v++) {
        enum failure_code code;

        assert_true(failure_code_parse(str_of(verdict_name((enum verdict)v)), &code));
        assert_true(failure_is_permanent(code));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(failure__codes_are_known_by_their_texts),
        cmocka_unit_test(failure__of_the_message_itself_is_permanent_and_of_its_handling_is_not),
        cmocka_unit_test(failure__of_every_verdict_has_a_code_and_is_permanent),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
