#include "orderly/infra/secret/pem_file.h"
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

/* A sequence of one number, and one of 200 bytes: as much DER as is looked at. */
#define SHORT "MAMCAQU="
#define LONG                                                                                       \
    "MIHIAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\n"                           \
    "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\n"                           \
    "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\n"                           \
    "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\n"                           \
    "AAAAAAAAAAAAAAA="
#define BLOCK(label, body) "-----BEGIN " label "-----\n" body "\n-----END " label "-----\n"
#define CERTIFICATE BLOCK("CERTIFICATE", SHORT)
#define SEED "SUAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"

static char folder[] = "/tmp/orderly-pem-XXXXXX";

static const char *write_file(const char *text, size_t n, mode_t mode)
{
    static char path[sizeof(folder) + 8];
    int fd;

    (void)snprintf(path, sizeof(path), "%s/file", folder);
    (void)unlink(path);
    fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, n), (ssize_t)n);
    assert_int_equal(fchmod(fd, mode), 0);
    assert_int_equal(close(fd), 0);
    return path;
}

/* said: NULL: it is fine. */
static void assert_said(const char *text, mode_t mode, enum pem_kind kind, const char *said)
{
    char why[SECRET_FILE_WHY_MAX] = "";
    enum err err = pem_file_check(write_file(text, strlen(text), mode), kind, why);

    if (said ? !strstr(why, said) : err != ERR_OK)
        (void)fprintf(stderr, "%s\n-> %s\n", text, why);
    assert_int_equal(err, said ? ERR_INVALID : ERR_OK);
    if (said)
        assert_non_null(strstr(why, said));
}

static void a_file_of_certificates__holds_one_at_least_and_each_is_whole(void **state)
{
    (void)state;
    assert_said(CERTIFICATE, 0644, PEM_CERTIFICATES, NULL);
    assert_said("# ours\n" CERTIFICATE "\nother text\n" BLOCK("CERTIFICATE", LONG), 0644,
                PEM_CERTIFICATES, NULL);
    assert_said("-----BEGIN CERTIFICATE-----\r\n" SHORT "\r\n-----END CERTIFICATE-----\r\n", 0644,
                PEM_CERTIFICATES, NULL);
    /* OpenSSL writes what it trusts a certificate for behind it. */
    assert_said(BLOCK("TRUSTED CERTIFICATE", "MAMCAQUwAA=="), 0644, PEM_CERTIFICATES, NULL);
    assert_said(BLOCK("PRIVATE KEY", "x") CERTIFICATE, 0644, PEM_CERTIFICATES, NULL);
    assert_said("", 0644, PEM_CERTIFICATES, "no certificate");
    assert_said("hello\n", 0644, PEM_CERTIFICATES, "no certificate");
    assert_said(BLOCK("CERTIFICATE REQUEST", SHORT), 0644, PEM_CERTIFICATES, "no certificate");
    assert_said("-----BEGIN CERTIFICATE-----\n" SHORT "\n", 0644, PEM_CERTIFICATES,
                "certificate 1 has no end");
    assert_said(CERTIFICATE "-----BEGIN CERTIFICATE-----\n" CERTIFICATE, 0644, PEM_CERTIFICATES,
                "certificate 2 has no end");
    assert_said(CERTIFICATE BLOCK("CERTIFICATE", "MAMCAQ=="), 0644, PEM_CERTIFICATES,
                "certificate 2 is damaged");
    assert_said(BLOCK("CERTIFICATE", "MAMCAQUA"), 0644, PEM_CERTIFICATES, "damaged");
    assert_said(BLOCK("CERTIFICATE", "MAMC*QU="), 0644, PEM_CERTIFICATES, "damaged");
    assert_said(BLOCK("CERTIFICATE", "MA=="), 0644, PEM_CERTIFICATES, "damaged");
    assert_said(BLOCK("CERTIFICATE", "MIAA"), 0644, PEM_CERTIFICATES, "damaged");
    assert_said(BLOCK("CERTIFICATE", "MIj/////////"), 0644, PEM_CERTIFICATES, "damaged");
    assert_said(BLOCK("CERTIFICATE", ""), 0644, PEM_CERTIFICATES, "damaged");
}

static void a_file_of_a_key__is_for_few_and_asks_for_no_passphrase(void **state)
{
    (void)state;
    assert_said(BLOCK("PRIVATE KEY", LONG), 0600, PEM_KEY, NULL);
    assert_said(BLOCK("EC PARAMETERS", "BggqhkjOPQMBBw==") BLOCK("EC PRIVATE KEY", SHORT), 0640,
                PEM_KEY, NULL);
    assert_said(BLOCK("PRIVATE KEY", SHORT), 0604, PEM_KEY, "its mode is 0604");
    assert_said(BLOCK("ENCRYPTED PRIVATE KEY", SHORT), 0600, PEM_KEY, "passphrase");
    assert_said(
        BLOCK("RSA PRIVATE KEY", "Proc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,00\n\n" SHORT),
        0600, PEM_KEY, "passphrase");
    assert_said(CERTIFICATE, 0600, PEM_KEY, "no private key");
    assert_said(BLOCK("PUBLIC KEY", SHORT), 0600, PEM_KEY, "no private key");
}

static void a_file_of_credentials__holds_a_jwt_and_a_seed_and_is_for_nobody_else(void **state)
{
    static const char fine[] = "-----BEGIN NATS USER JWT-----\neyJ.eyJ.abc\n"
                               "------END NATS USER JWT------\n\n*** keep it secret ***\n\n"
                               "-----BEGIN USER NKEY SEED-----\n" SEED "\n"
                               "------END USER NKEY SEED------\n";
    char text[sizeof(fine)];

    (void)state;
    assert_said(fine, 0600, PEM_CREDENTIALS, NULL);
    assert_said(fine, 0640, PEM_CREDENTIALS, "its mode is 0640");
    assert_said("", 0600, PEM_CREDENTIALS, "does not hold two texts");
    assert_said("---a---\ne.e.a\n---b---\n", 0600, PEM_CREDENTIALS, "does not hold two texts");
    assert_said("---a---\nea\n---b---\n---c---\n" SEED "\n---d---\n", 0600, PEM_CREDENTIALS,
                "no JWT");
    assert_said("---a---\ne.e.a\n---b---\n---c---\nSUA\n---d---\n", 0600, PEM_CREDENTIALS,
                "no seed");
    assert_said("---a---\r\ne.e.a\r\n", 0600, PEM_CREDENTIALS, "CR and LF");
    /* Cut short wherever it may be, before the last line of dashes. */
    for (size_t n = 0; n < (size_t)(strstr(fine, "------END USER") - fine); n++) {
        char why[SECRET_FILE_WHY_MAX];

        memcpy(text, fine, sizeof(fine));
        text[n] = '\0';
        assert_int_equal(pem_file_check(write_file(text, n, 0600), PEM_CREDENTIALS, why),
                         ERR_INVALID);
    }
}

static void a_file__is_there_is_a_file_and_of_a_size(void **state)
{
    static const char head[] = CERTIFICATE;
    char why[SECRET_FILE_WHY_MAX], *large = calloc(1, PEM_FILE_MAX + 1);
    const enum pem_kind kinds[] = { PEM_CERTIFICATES, PEM_KEY, PEM_CREDENTIALS };

    (void)state;
    assert_non_null(large);
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        assert_int_equal(pem_file_check("/nowhere/at/all", kinds[i], why), ERR_IO);
        assert_non_null(strstr(why, "No such file"));
        assert_int_equal(pem_file_check(folder, kinds[i], why), ERR_INVALID);
        assert_non_null(strstr(why, "no regular file"));
    }
    memset(large, ' ', PEM_FILE_MAX + 1);
    memcpy(large, head, sizeof(head) - 1);
    assert_int_equal(pem_file_check(write_file(large, PEM_FILE_MAX, 0600), PEM_CERTIFICATES, why),
                     ERR_OK);
    assert_int_equal(
        pem_file_check(write_file(large, PEM_FILE_MAX + 1, 0600), PEM_CERTIFICATES, why),
        ERR_INVALID);
    assert_non_null(strstr(why, "larger than"));
    free(large);
}

static int make_folder(void **state)
{
    (void)state;
    return mkdtemp(folder) ? 0 : -1;
}

static int remove_folder(void **state)
{
    char path[sizeof(folder) + 8];

    (void)state;
    (void)snprintf(path, sizeof(path), "%s/file", folder);
    (void)unlink(path);
    return rmdir(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_file_of_certificates__holds_one_at_least_and_each_is_whole),
        cmocka_unit_test(a_file_of_a_key__is_for_few_and_asks_for_no_passphrase),
        cmocka_unit_test(a_file_of_credentials__holds_a_jwt_and_a_seed_and_is_for_nobody_else),
        cmocka_unit_test(a_file__is_there_is_a_file_and_of_a_size),
    };

    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
