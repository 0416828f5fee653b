/* How does a server answer HTTP requests that come at a given rate, or as fast as it takes them?
 *
 * One URL, one request, one JSON object of figures on stdout. See lib/load.h for what the two modes
 * mean and --help for the options. Ends by itself, or on SIGINT and SIGTERM with what it has so far.
 *
 * Exit status: 0 the load ran (whatever was answered), 1 an answer could not be read or the load could
 * not begin, 2 the command line is wrong. */
#include "lib/clock_ns.h"
#include "lib/load.h"
#include "lib/report.h"
#include "orderly/base/check.h"
#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

enum { HEADERS_MAX = 32, BODY_MAX = 1024 * 1024 };

static const char HELP[] =
    "Usage: bench_loadgen [options] http://ADDRESS:PORT[/PATH]\n"
    "\n"
    "What is sent ({n} in path, header or body becomes a number of the request's own):\n"
    "  --method M          default GET, or POST with a body\n"
    "  --path P            instead of the path of the URL\n"
    "  --header 'N: V'     may be repeated; Host and Content-Length are made\n"
    "  --body TEXT, --body-file FILE\n"
    "  --first-number N    the first {n}, default 1\n"
    "\n"
    "How it is sent:\n"
    "  --connections N     default 64\n"
    "  --pipeline D        requests outstanding on one connection, default 1\n"
    "  --rate R            open loop: R requests a second by schedule; without it closed loop\n"
    "  --duration S        default 10; with --count 600\n"
    "  --count N           ends after N requests\n"
    "  --timeout S         an answer later than this closes its connection, default 10\n"
    "  --drain S           time at the end for what is late or outstanding, default 10\n"
    "  --drop-unsent       open loop: what is due but not sent at the end is not sent late\n"
    "  --retry-503         closed loop: rest for Retry-After after a 503 and send again\n"
    "\n"
    "What is written:\n"
    "  --seconds           a line of figures for each second too\n"
    "  --save-ids FILE     the Location of every 201, one on a line\n";

struct arguments {
    struct load_options load;
    struct request_parts parts;
    const char *headers[HEADERS_MAX];
    const char *path;
    const char *save_ids;
    struct buf body;
    char host[64];
    bool has_duration;
};

static volatile sig_atomic_t stop_wanted;

static void on_stop_signal(int number)
{
    (void)number;
    stop_wanted = 1;
}

static _Noreturn void __attribute__((format(printf, 1, 2))) refuse(const char *fmt, ...)
{
    va_list ap;

    (void)fputs("bench_loadgen: ", stderr);
    va_start(ap, fmt);
    (void)vfprintf(stderr, fmt, ap);
    va_end(ap);
    (void)fputs("\n", stderr);
    exit(2);
}

static double parse_real(const char *name, const char *text, double min, double max)
{
    char *end;
    double value;

    errno = 0;
    value = strtod(text, &end);
    if (errno != 0 || end == text || *end != '\0' || !(value >= min && value <= max))
        refuse("--%s wants a number from %g to %g, not '%s'", name, min, max, text);
    return value;
}

static uint64_t parse_integer(const char *name, const char *text, uint64_t min, uint64_t max)
{
    double value = parse_real(name, text, (double)min, (double)max);

    if (value != floor(value))
        refuse("--%s wants a whole number, not '%s'", name, text);
    return (uint64_t)value;
}

static uint64_t parse_seconds(const char *name, const char *text)
{
    return (uint64_t)(parse_real(name, text, 0.0, LOAD_SECONDS_MAX) * 1e9);
}

static void read_body_file(struct arguments *a, const char *name)
{
    FILE *f = fopen(name, "re");

    if (!f)
        refuse("cannot open %s: %s", name, strerror(errno));
    while (a->body.n < BODY_MAX) {
        size_t n = fread(buf_reserve(&a->body, 4096), 1, 4096, f);
        if (n == 0)
            break;
        a->body.n += n;
    }
    if (ferror(f) || a->body.n >= BODY_MAX)
        refuse("cannot read %s, or it is larger than %d bytes", name, BODY_MAX);
    (void)fclose(f);
}

/* http://ADDRESS:PORT[/PATH]; an address, not a name: a bench runs on the loop-back. */
static void parse_url(struct arguments *a, const char *url)
{
    static const char SCHEME[] = "http://";
    const char *host = url + sizeof(SCHEME) - 1;
    size_t host_n;
    char *colon;

    if (strncmp(url, SCHEME, sizeof(SCHEME) - 1) != 0)
        refuse("the URL begins http://, not '%s'", url);
    host_n = strcspn(host, "/");
    if (host_n == 0 || host_n >= sizeof(a->host))
        refuse("no address in '%s'", url);
    memcpy(a->host, host, host_n);
    if (!a->path)
        a->path = host[host_n] ? host + host_n : "/";
    a->parts.host = a->host;
    {
        char address[sizeof(a->host)];
        memcpy(address, a->host, sizeof(address));
        colon = strchr(address, ':');
        if (!colon)
            refuse("no port in '%s'", url);
        *colon = '\0';
        if (inet_pton(AF_INET, address, &a->load.address.sin_addr) != 1)
            refuse("'%s' is no IPv4 address", address);
        a->load.address.sin_family = AF_INET;
        a->load.address.sin_port = htons((uint16_t)parse_integer("port", colon + 1, 1, 65535));
    }
}

enum option_id {
    OPT_METHOD = 256,
    OPT_PATH,
    OPT_HEADER,
    OPT_BODY,
    OPT_BODY_FILE,
    OPT_FIRST_NUMBER,
    OPT_CONNECTIONS,
    OPT_PIPELINE,
    OPT_RATE,
    OPT_DURATION,
    OPT_COUNT,
    OPT_TIMEOUT,
    OPT_DRAIN,
    OPT_DROP_UNSENT,
    OPT_RETRY_503,
    OPT_SECONDS,
    OPT_SAVE_IDS,
    OPT_HELP,
};

static const struct option OPTIONS[] = {
    { "method", required_argument, NULL, OPT_METHOD },
    { "path", required_argument, NULL, OPT_PATH },
    { "header", required_argument, NULL, OPT_HEADER },
    { "body", required_argument, NULL, OPT_BODY },
    { "body-file", required_argument, NULL, OPT_BODY_FILE },
    { "first-number", required_argument, NULL, OPT_FIRST_NUMBER },
    { "connections", required_argument, NULL, OPT_CONNECTIONS },
    { "pipeline", required_argument, NULL, OPT_PIPELINE },
    { "rate", required_argument, NULL, OPT_RATE },
    { "duration", required_argument, NULL, OPT_DURATION },
    { "count", required_argument, NULL, OPT_COUNT },
    { "timeout", required_argument, NULL, OPT_TIMEOUT },
    { "drain", required_argument, NULL, OPT_DRAIN },
    { "drop-unsent", no_argument, NULL, OPT_DROP_UNSENT },
    { "retry-503", no_argument, NULL, OPT_RETRY_503 },
    { "seconds", no_argument, NULL, OPT_SECONDS },
    { "save-ids", required_argument, NULL, OPT_SAVE_IDS },
    { "help", no_argument, NULL, OPT_HELP },
    { NULL, 0, NULL, 0 },
};

static void take_option(struct arguments *a, int id, const char *name, const char *value)
{
    struct load_options *l = &a->load;

    switch ((enum option_id)id) {
    case OPT_METHOD:
        a->parts.method = value;
        break;
    case OPT_PATH:
        a->path = value;
        break;
    case OPT_HEADER:
        if (a->parts.headers_n == HEADERS_MAX)
            refuse("at most %d headers", HEADERS_MAX);
        a->headers[a->parts.headers_n++] = value;
        break;
    case OPT_BODY:
        buf_add(&a->body, value, strlen(value));
        break;
    case OPT_BODY_FILE:
        read_body_file(a, value);
        break;
    case OPT_FIRST_NUMBER:
        l->number_first = parse_integer(name, value, 0, UINT64_C(1) << 40);
        break;
    case OPT_CONNECTIONS:
        l->connections = (unsigned)parse_integer(name, value, 1, LOAD_CONNECTIONS_MAX);
        break;
    case OPT_PIPELINE:
        l->pipeline = (unsigned)parse_integer(name, value, 1, LOAD_PIPELINE_MAX);
        break;
    case OPT_RATE:
        l->rate_per_s = parse_real(name, value, 0.001, 1e8);
        break;
    case OPT_DURATION:
        l->duration_ns = parse_seconds(name, value);
        a->has_duration = true;
        break;
    case OPT_COUNT:
        l->count = parse_integer(name, value, 1, UINT64_C(1) << 40);
        break;
    case OPT_TIMEOUT:
        l->timeout_ns = parse_seconds(name, value);
        break;
    case OPT_DRAIN:
        l->drain_ns = parse_seconds(name, value);
        break;
    case OPT_DROP_UNSENT:
        l->drop_unsent = true;
        break;
    case OPT_RETRY_503:
        l->retry_503 = true;
        break;
    case OPT_SECONDS:
        l->keep_seconds = true;
        break;
    case OPT_SAVE_IDS:
        a->save_ids = value;
        break;
    case OPT_HELP:
        (void)fputs(HELP, stdout);
        exit(0);
    }
}

static void parse_arguments(struct arguments *a, int argc, char **argv)
{
    const char *wrong;
    int id, index = 0;

    a->load = (struct load_options){
        .connections = 64,
        .pipeline = 1,
        .duration_ns = 10 * NS_PER_S,
        .count = UINT64_MAX,
        .timeout_ns = 10 * NS_PER_S,
        .drain_ns = 10 * NS_PER_S,
        .number_first = 1,
        .stop = &stop_wanted,
    };
    while ((id = getopt_long(argc, argv, "", OPTIONS, &index)) != -1) {
        if (id == '?')
            exit(2); /* getopt has said why */
        take_option(a, id, OPTIONS[index].name, optarg);
    }
    if (optind != argc - 1)
        refuse("one URL is wanted; see --help");
    if (a->load.count != UINT64_MAX && !a->has_duration)
        a->load.duration_ns = 600 * NS_PER_S;
    if (a->load.retry_503 && a->load.rate_per_s > 0.0)
        refuse("--retry-503 would bend the schedule of an open loop");
    parse_url(a, argv[optind]);
    a->parts.path = a->path;
    a->parts.headers = a->headers;
    if (a->body.n > 0) {
        a->parts.body = a->body.p;
        a->parts.body_n = a->body.n;
    }
    if (!a->parts.method)
        a->parts.method = a->parts.body ? "POST" : "GET";
    a->load.head_only = strcmp(a->parts.method, "HEAD") == 0;
    wrong = request_template_init(&a->load.request, &a->parts);
    if (wrong)
        refuse("%s", wrong);
}

int main(int argc, char **argv)
{
    static struct arguments arguments; /* static because of its size, as the result is */
    static struct load_result result;
    struct arguments *a = &arguments;
    const char *failure;
    int status = 0;

    parse_arguments(a, argc, argv);
    (void)signal(SIGINT, on_stop_signal);
    (void)signal(SIGTERM, on_stop_signal);
    if (a->save_ids) {
        a->load.locations = fopen(a->save_ids, "we");
        if (!a->load.locations)
            refuse("cannot write %s: %s", a->save_ids, strerror(errno));
    }
    failure = load_run(&a->load, &result);
    if (failure) {
        (void)fprintf(stderr, "bench_loadgen: %s to %s\n", failure, a->host);
        status = 1;
    } else {
        report_print(stdout, &a->load, &result);
    }
    if (result.refusal) {
        (void)fprintf(stderr, "bench_loadgen: %s\n", result.refusal);
        status = 1;
    }
    if (a->load.locations && fclose(a->load.locations) != 0) {
        (void)fprintf(stderr, "bench_loadgen: cannot write %s\n", a->save_ids);
        status = 1;
    }
    load_result_deinit(&result);
    request_template_deinit(&a->load.request);
    buf_deinit(&a->body);
    return status;
}
