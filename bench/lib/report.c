#include "report.h"
#include "clock_ns.h"
#include <inttypes.h>

static double ms(uint64_t ns)
{
    return (double)ns / (double)NS_PER_MS;
}

static double seconds(uint64_t ns)
{
    return (double)ns / (double)NS_PER_S;
}

static double rate_per_s(uint64_t count, uint64_t ns)
{
    return ns > 0 ? (double)count / seconds(ns) : 0.0;
}

static void print_latency(FILE *out, const char *name, const struct histogram *h)
{
    (void)fprintf(out,
                  " \"%s\": {\"count\": %" PRIu64 ", \"mean\": %.4f, \"p50\": %.4f, \"p90\": %.4f,"
                  " \"p99\": %.4f, \"p99_9\": %.4f, \"max\": %.4f},\n",
                  name, h->count, ms(histogram_mean(h)), ms(histogram_quantile(h, 0.50)),
                  ms(histogram_quantile(h, 0.90)), ms(histogram_quantile(h, 0.99)),
                  ms(histogram_quantile(h, 0.999)), ms(h->max));
}

static void print_status(FILE *out, const struct load_result *r)
{
    const char *separator = "";

    (void)fputs(" \"status\": {", out);
    for (int i = 0; i < LOAD_STATUS_MAX; i++) {
        if (r->by_status[i] == 0)
            continue;
        (void)fprintf(out, "%s\"%d\": %" PRIu64, separator, i, r->by_status[i]);
        separator = ", ";
    }
    (void)fputs("},\n", out);
}

static void print_seconds(FILE *out, const struct load_result *r)
{
    (void)fputs(" \"seconds\": [", out);
    for (size_t i = 0; i < r->seconds_n; i++) {
        const struct load_second *s = &r->seconds[i];
        (void)fprintf(out,
                      "%s\n  {\"second\": %zu, \"sent\": %" PRIu64 ", \"answered\": %" PRIu64
                      ", \"succeeded\": %" PRIu64 ", \"p50\": %.4f, \"p99\": %.4f, \"max\": %.4f}",
                      i ? "," : "", i, s->sent, s->answered, s->succeeded, ms(s->p50_ns),
                      ms(s->p99_ns), ms(s->max_ns));
    }
    (void)fputs("],\n", out);
}

void report_print(FILE *out, const struct load_options *options, const struct load_result *r)
{
    uint64_t busy_ns = r->last_answer_ns - r->start_ns;

    (void)fprintf(out,
                  "{\"mode\": \"%s\", \"rate_per_s\": %.3f, \"connections\": %u,"
                  " \"pipeline\": %u,\n",
                  options->rate_per_s > 0.0 ? "open" : "closed", options->rate_per_s,
                  options->connections, options->pipeline);
    (void)fprintf(out,
                  " \"sent\": %" PRIu64 ", \"answered\": %" PRIu64 ", \"succeeded\": %" PRIu64
                  ", \"resent\": %" PRIu64 ",\n",
                  r->sent, r->answered, r->latency_ok.count, r->resent);
    print_status(out, r);
    (void)fprintf(out,
                  " \"unsent\": %" PRIu64 ", \"unanswered\": %" PRIu64 ", \"lost_closed\": %" PRIu64
                  ", \"lost_timeout\": %" PRIu64 ",\n",
                  r->unsent, r->unanswered, r->lost_closed, r->lost_timeout);
    (void)fprintf(out, " \"connects\": %" PRIu64 ", \"connect_failures\": %" PRIu64 ",\n",
                  r->connects, r->connect_failures);
    /* From the first request to the last answer, so that waiting for a lost one changes nothing. */
    (void)fprintf(out, " \"busy_s\": %.6f, \"answered_per_s\": %.1f, \"succeeded_per_s\": %.1f,\n",
                  seconds(busy_ns), rate_per_s(r->answered, busy_ns),
                  rate_per_s(r->latency_ok.count, busy_ns));
    print_latency(out, "latency", &r->latency);
    print_latency(out, "latency_ok", &r->latency_ok);
    print_latency(out, "send_delay", &r->send_delay);
    if (options->keep_seconds)
        print_seconds(out, r);
    if (r->refusal)
        (void)fprintf(out, " \"refusal\": \"%s\",\n", r->refusal);
    (void)fprintf(
        out, " \"start_s\": %.6f, \"end_s\": %.6f, \"user_s\": %.3f, \"system_s\": %.3f}\n",
        seconds(r->start_ns), seconds(r->end_ns), seconds(r->user_ns), seconds(r->system_ns));
}
