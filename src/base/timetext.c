#include "orderly/base/timetext.h"
#include "orderly/base/check.h"

#define MS_PER_DAY INT64_C(86400000)
#define TIMETEXT_MS_MIN INT64_C(-62167219200000) /* 0000-01-01T00:00:00.000Z */
#define TIMETEXT_MS_MAX INT64_C(253402300799999) /* 9999-12-31T23:59:59.999Z */

struct civil {
    int year, month, day;
    int hour, minute, second, ms;
    int weekday; /* 0: Sunday */
};

/* Both calendar functions count years from March, so that the leap day is the last of its year, and
 * in eras of 400 years (146,097 days), after which the calendar repeats. */
static int64_t civil_to_days(int year, int month, int day)
{
    int64_t y = year - (month <= 2);
    int64_t era = (y >= 0 ? y : y - 399) / 400;
    int64_t year_of_era = y - era * 400;
    int64_t day_of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
    int64_t day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;

    return era * 146097 + day_of_era - 719468;
}

static void civil_set_date(struct civil *c, int64_t days)
{
    int64_t z = days + 719468;
    int64_t era = (z >= 0 ? z : z - 146096) / 146097;
    int64_t day_of_era = z - era * 146097;
    int64_t year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
    int64_t day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    int64_t month = (5 * day_of_year + 2) / 153;

    c->day = (int)(day_of_year - (153 * month + 2) / 5 + 1);
    c->month = (int)(month < 10 ? month + 3 : month - 9);
    c->year = (int)(year_of_era + era * 400) + (c->month <= 2);
    c->weekday = (int)(((days + 4) % 7 + 7) % 7); /* 1970-01-01 was a Thursday */
}

static struct civil civil_of(int64_t ms)
{
    struct civil c;
    int64_t days;
    int rest;

    if (ms < TIMETEXT_MS_MIN)
        ms = TIMETEXT_MS_MIN;
    if (ms > TIMETEXT_MS_MAX)
        ms = TIMETEXT_MS_MAX;
    days = (ms >= 0 ? ms : ms - (MS_PER_DAY - 1)) / MS_PER_DAY;
    rest = (int)(ms - days * MS_PER_DAY);
    civil_set_date(&c, days);
    c.ms = rest % 1000;
    rest /= 1000;
    c.second = rest % 60;
    rest /= 60;
    c.minute = rest % 60;
    c.hour = rest / 60;
    return c;
}

static void put_digits(char *out, int v, int n)
{
    while (n-- > 0) {
        out[n] = (char)('0' + v % 10);
        v /= 10;
    }
}

void timetext_format(int64_t ms, char out[TIMETEXT_LEN])
{
    struct civil c = civil_of(ms);

    memcpy(out, "0000-00-00T00:00:00.000Z", TIMETEXT_LEN);
    put_digits(out, c.year, 4);
    put_digits(out + 5, c.month, 2);
    put_digits(out + 8, c.day, 2);
    put_digits(out + 11, c.hour, 2);
    put_digits(out + 14, c.minute, 2);
    put_digits(out + 17, c.second, 2);
    put_digits(out + 20, c.ms, 3);
}

void timetext_format_http(int64_t ms, char out[TIMETEXT_HTTP_LEN])
{
    static const char days[] = "SunMonTueWedThuFriSat";
    static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
    struct civil c = civil_of(ms);

    memcpy(out, "Sun, 00 Jan 0000 00:00:00 GMT", TIMETEXT_HTTP_LEN);
    memcpy(out, days + (size_t)3 * (size_t)c.weekday, 3);
    put_digits(out + 5, c.day, 2);
    memcpy(out + 8, months + (size_t)3 * (size_t)(c.month - 1), 3);
    put_digits(out + 12, c.year, 4);
    put_digits(out + 17, c.hour, 2);
    put_digits(out + 20, c.minute, 2);
    put_digits(out + 23, c.second, 2);
}

static bool take_number(struct str *s, size_t n, int max, int *out)
{
    int v = 0;

    if (s->n < n)
        return false;
    for (size_t i = 0; i < n; i++) {
        if (s->p[i] < '0' || s->p[i] > '9')
            return false;
        v = v * 10 + (s->p[i] - '0');
    }
    *s = (struct str){ s->p + n, s->n - n };
    *out = v;
    return v <= max;
}

static bool take_char(struct str *s, char a, char b)
{
    if (s->n == 0 || (s->p[0] != a && s->p[0] != b))
        return false;
    *s = (struct str){ s->p + 1, s->n - 1 };
    return true;
}

/* ".123456", at least one digit; what is finer than a millisecond is cut. */
static bool take_fraction(struct str *s, int *ms)
{
    int unit = 100;
    bool any = false;

    *ms = 0;
    if (!take_char(s, '.', '.'))
        return true;
    while (s->n && s->p[0] >= '0' && s->p[0] <= '9') {
        *ms += unit * (s->p[0] - '0');
        unit /= 10;
        any = true;
        *s = (struct str){ s->p + 1, s->n - 1 };
    }
    return any;
}

static bool take_offset(struct str *s, int *minutes)
{
    bool west;
    int h;
    int m;

    *minutes = 0;
    if (take_char(s, 'Z', 'z'))
        return true;
    west = s->n && s->p[0] == '-';
    if (!take_char(s, '+', '-') || !take_number(s, 2, 23, &h) || !take_char(s, ':', ':') ||
        !take_number(s, 2, 59, &m))
        return false;
    *minutes = west ? -(h * 60 + m) : h * 60 + m;
    return true;
}

static int days_in_month(int year, int month)
{
    static const int8_t days[12] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };
    bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;

    return days[month - 1] + (month == 2 && leap);
}

bool timetext_parse(struct str text, int64_t *ms)
{
    struct civil c;
    int offset;
    int64_t minutes;

    if (!take_number(&text, 4, 9999, &c.year) || !take_char(&text, '-', '-') ||
        !take_number(&text, 2, 12, &c.month) || !take_char(&text, '-', '-') ||
        !take_number(&text, 2, 31, &c.day) || !take_char(&text, 'T', 't') ||
        !take_number(&text, 2, 23, &c.hour) || !take_char(&text, ':', ':') ||
        !take_number(&text, 2, 59, &c.minute) || !take_char(&text, ':', ':') ||
        !take_number(&text, 2, 60, &c.second) || !take_fraction(&text, &c.ms) ||
        !take_offset(&text, &offset) || text.n != 0)
        return false;
    if (c.month < 1 || c.day < 1 || c.day > days_in_month(c.year, c.month))
        return false;
    minutes = civil_to_days(c.year, c.month, c.day) * 1440 + c.hour * 60 + c.minute - offset;
    if (c.second == 60) {
        /* A leap second ends a day of UTC; anywhere else there is no such time. */
        if ((minutes % 1440 + 1440) % 1440 != 1439)
            return false;
        c.second = 59;
        c.ms = 999;
    }
    *ms = minutes * 60000 + c.second * 1000 + c.ms;
    return true;
}
