/* Files of certificates and keys in PEM, and NATS's files of credentials: whether a client library will
 * find in them what it looks for. Looks at their form, down to the length of what is encoded in them;
 * whether a key fits a certificate, or who signed it, only the library knows. */
#ifndef ORDERLY_INFRA_PEM_FILE_H
#define ORDERLY_INFRA_PEM_FILE_H
#include "orderly/infra/secret/secret_file.h"

enum pem_kind {
    PEM_CERTIFICATES, /* one at least; what else is there is passed over */
    PEM_KEY,          /* one, without a passphrase; everybody may not read it */
    PEM_CREDENTIALS   /* a JWT and a seed between lines of dashes; nobody else may read it */
};

/* Of a bundle of all authorities of the world a fifth. */
#define PEM_FILE_MAX (1u << 20)

/* Waits for the disk. Errors are those of secret_file_read; `why` says it without the path. */
MUST_CHECK enum err pem_file_check(const char *path, enum pem_kind kind,
                                   char why[SECRET_FILE_WHY_MAX]);
#endif
