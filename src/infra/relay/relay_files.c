#include "relay_files.h"
#include "orderly/base/check.h"
#include "orderly/infra/secret/pem_file.h"

void relay_files_check(const char *name, const struct relay_options *o, struct buf *complaints)
{
    const struct {
        const char *option, *path;
        enum pem_kind kind;
    } files[] = {
        { "tls_ca", o->tls_ca, PEM_CERTIFICATES },
        { "tls_certificate", o->tls_certificate, PEM_CERTIFICATES },
        { "tls_key", o->tls_key, PEM_KEY },
        { "credentials_file", o->credentials_file, PEM_CREDENTIALS },
    };
    char why[SECRET_FILE_WHY_MAX];

    for (size_t i = 0; i < ARRAY_LEN(files); i++)
        if (files[i].path[0] && pem_file_check(files[i].path, files[i].kind, why) != ERR_OK)
            buf_printf(complaints, "orderly: relay.%s.%s: '%s': %s\n", name, files[i].option,
                       files[i].path, why);
}
