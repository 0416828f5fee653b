/* What is a request, what is none, and where one ends. Every row is sent whole, byte by byte, and
 * split once at every place: the pieces must never matter. */
#include "fixture.h"

#define H "Host: localhost\r\n"

struct row {
    const char *name;
    const char *bytes;
    const char *answers; /* statuses, "!" when the server ends the connection */
    const char *handled; /* requests that reached the handler */
};

/* Good ones. */
static const struct row good[] = {
    { "a plain GET", "GET /a HTTP/1.1\r\n" H "\r\n", "200", "GET /a|" },
    { "a query", "GET /a?b=%20&c HTTP/1.1\r\n" H "\r\n", "200", "GET /a?b=%20&c|" },
    { "a body", "POST /a HTTP/1.1\r\n" H "Content-Length: 5\r\n\r\nhello", "200",
      "POST /a:hello|" },
    { "an empty body", "POST /a HTTP/1.1\r\n" H "Content-Length: 0\r\n\r\n", "200", "POST /a|" },
    { "no body at all", "POST /a HTTP/1.1\r\n" H "\r\n", "200", "POST /a|" },
    { "a body of a GET is a body", "GET /a HTTP/1.1\r\n" H "Content-Length: 1\r\n\r\nx", "200",
      "GET /a:x|" },
    { "two in a row", "GET /a HTTP/1.1\r\n" H "\r\nGET /b HTTP/1.1\r\n" H "\r\n", "200 200",
      "GET /a|GET /b|" },
    { "a body and then another",
      "POST /a HTTP/1.1\r\n" H "Content-Length: 2\r\n\r\nxyGET /b HTTP/1.1\r\n" H "\r\n", "200 200",
      "POST /a:xy|GET /b|" },
    { "every known method",
      "PUT /a HTTP/1.1\r\n" H "\r\nPATCH /a HTTP/1.1\r\n" H "\r\nDELETE /a HTTP/1.1\r\n" H
      "\r\nOPTIONS /a HTTP/1.1\r\n" H "\r\nTRACE /a HTTP/1.1\r\n" H "\r\n",
      "200 200 200 200 200", "PUT /a|PATCH /a|DELETE /a|OPTIONS /a|TRACE /a|" },
    { "four empty lines before it", "\r\n\r\n\r\n\r\nGET /a HTTP/1.1\r\n" H "\r\n", "200",
      "GET /a|" },
    { "empty lines between two", "GET /a HTTP/1.1\r\n" H "\r\n\r\n\r\nGET /b HTTP/1.1\r\n" H "\r\n",
      "200 200", "GET /a|GET /b|" },
    { "absolute form", "GET http://localhost:80/a?b HTTP/1.1\r\n" H "\r\n", "200",
      "GET http://localhost:80/a?b|" },
    { "asterisk form", "OPTIONS * HTTP/1.1\r\n" H "\r\n", "200", "OPTIONS *|" },
    { "Connection: close is the last one",
      "GET /a HTTP/1.1\r\n" H "Connection: close\r\n\r\nGET /b HTTP/1.1\r\n" H "\r\n", "200!",
      "GET /a|" },
    { "close in a list", "GET /a HTTP/1.1\r\n" H "Connection: x , Close\r\n\r\n", "200!",
      "GET /a|" },
    { "the handler closes", "GET /close HTTP/1.1\r\n" H "\r\nGET /b HTTP/1.1\r\n" H "\r\n", "200!",
      "GET /close|" },
    { "1.0 closes", "GET /a HTTP/1.0\r\n\r\n", "200!", "GET /a|" },
    { "1.0 stays if asked",
      "GET /a HTTP/1.0\r\nConnection: keep-alive\r\n\r\nGET /b HTTP/1.0\r\n\r\n", "200 200!",
      "GET /a|GET /b|" },
    { "1.0 with a body", "POST /a HTTP/1.0\r\nContent-Length: 2\r\n\r\nhi", "200!", "POST /a:hi|" },
    { "Upgrade is ignored",
      "GET /a HTTP/1.1\r\n" H "Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
      "GET /b HTTP/1.1\r\n" H "\r\n",
      "200 200", "GET /a|GET /b|" },
    { "Upgrade with a body is ignored",
      "POST /a HTTP/1.1\r\n" H "Connection: Upgrade\r\nUpgrade: h2c\r\nContent-Length: 3\r\n\r\n"
      "abcGET /b HTTP/1.1\r\n" H "\r\n",
      "200 200", "POST /a:abc|GET /b|" },
    { "an empty field", "GET /a HTTP/1.1\r\n" H "X-Empty:\r\nX-Blank:  \t\r\n\r\n", "200",
      "GET /a|" },
    { "bytes above 127 in a value", "GET /a HTTP/1.1\r\n" H "X-Name: Jos\xc3\xa9\r\n\r\n", "200",
      "GET /a|" },
    { "Host with a port", "GET /a HTTP/1.1\r\nHost: LOCALHOST:8080\r\n\r\n", "200", "GET /a|" },
    { "Host with an empty port", "GET /a HTTP/1.1\r\nHost: localhost:\r\n\r\n", "200", "GET /a|" },
    { "Host by IPv6", "GET /a HTTP/1.1\r\nHost: [::1]:8080\r\n\r\n", "200", "GET /a|" },
    { "an early 404 on a small body keeps the connection",
      "POST /nowhere HTTP/1.1\r\n" H "Content-Length: 5\r\n\r\nhelloGET /b HTTP/1.1\r\n" H "\r\n",
      "404 200", "GET /b|" },
    { "an early 404 on a large body does not",
      "POST /nowhere HTTP/1.1\r\n" H "Content-Length: 65537\r\n\r\nhello", "404!", "" },
    { "nor does one on a chunked body",
      "POST /nowhere HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
      "404!", "" },
};

/* Chunked bodies. */
#define CHUNKED "POST /a HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n"
#define NEXT "GET /b HTTP/1.1\r\n" H "\r\n"
static const struct row chunked[] = {
    { "one chunk", CHUNKED "5\r\nhello\r\n0\r\n\r\n" NEXT, "200 200", "POST /a:hello|GET /b|" },
    { "many chunks", CHUNKED "1\r\na\r\n2\r\nbc\r\n00A\r\n0123456789\r\n000\r\n\r\n" NEXT,
      "200 200", "POST /a:abc0123456789|GET /b|" },
    { "no data", CHUNKED "0\r\n\r\n" NEXT, "200 200", "POST /a|GET /b|" },
    { "extensions", CHUNKED "2;a=b;c=\"d e\"\r\nhi\r\n0;x\r\n\r\n" NEXT, "200 200",
      "POST /a:hi|GET /b|" },
    { "trailers are dropped", CHUNKED "2\r\nhi\r\n0\r\nX-Sum: 1\r\nHost: other\r\n\r\n" NEXT,
      "200 200", "POST /a:hi|GET /b|" },
    { "upper-case coding",
      "POST /a HTTP/1.1\r\n" H "Transfer-Encoding: Chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n", "200",
      "POST /a:hi|" },
    { "data that looks like an end", CHUNKED "7\r\n0\r\n\r\n\r\n\r\n0\r\n\r\n" NEXT, "200 200",
      "POST /a:0\r\n\r\n\r\n|GET /b|" },
    { "no digits", CHUNKED "\r\n\r\n", "400!", "" },
    { "a bad digit", CHUNKED "g\r\n", "400!", "" },
    { "a sign", CHUNKED "+5\r\nhello\r\n", "400!", "" },
    { "a prefix", CHUNKED "0x5\r\nhello\r\n", "400!", "" },
    { "a blank before the size", CHUNKED " 5\r\nhello\r\n", "400!", "" },
    { "a blank after the size", CHUNKED "5 \r\nhello\r\n", "400!", "" },
    { "bare LF after the size", CHUNKED "5\nhello\r\n0\r\n\r\n", "400!", "" },
    { "bare LF in an extension", CHUNKED "5;a\nhello\r\n0\r\n\r\n", "400!", "" },
    { "bare CR after the size", CHUNKED "5\rhello\r\n", "400!", "" },
    { "data longer than its size", CHUNKED "5\r\nhello!\r\n0\r\n\r\n", "400!", "" },
    { "data shorter than its size", CHUNKED "5\r\nhell\r\n0\r\n\r\n", "400!", "" },
    { "bare LF after the data", CHUNKED "5\r\nhello\n0\r\n\r\n", "400!", "" },
    { "a size beyond 64 bits", CHUNKED "10000000000000000\r\n", "400!", "" },
    { "many leading zeros", CHUNKED "00000000000000005\r\nhello\r\n", "400!", "" },
    { "a huge size", CHUNKED "ffffffffffffffff\r\n", "413!", "" },
    { "a trailer with a blank first", CHUNKED "0\r\n X: 1\r\n\r\n", "400!", "" },
    { "a trailer without colon", CHUNKED "0\r\nbad\r\n\r\n", "400!", "" },
    { "a trailer with a bare LF", CHUNKED "0\r\nX: 1\n\r\n", "400!", "" },
    { "a bare LF at the end", CHUNKED "0\r\n\n", "400!", "" },
    { "a body larger than its route takes",
      "POST /small HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n"
      "5\r\nhello\r\n5\r\nworld\r\n1\r\n!\r\n0\r\n\r\n",
      "413!", "" },
    { "a body as large as its route takes",
      "POST /small HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n"
      "5\r\nhello\r\n5\r\nworld\r\n0\r\n\r\n",
      "200", "POST /small:helloworld|" },
};

/* Two readers could take these apart differently. */
static const struct row framing[] = {
    { "length and coding",
      "POST /a HTTP/1.1\r\n" H
      "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" NEXT,
      "400!", "" },
    { "coding and length",
      "POST /a HTTP/1.1\r\n" H
      "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n" NEXT,
      "400!", "" },
    { "two lengths that differ",
      "POST /a HTTP/1.1\r\n" H "Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello" NEXT, "400!",
      "" },
    { "two lengths that agree",
      "POST /a HTTP/1.1\r\n" H "Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello", "400!", "" },
    { "a list of lengths", "POST /a HTTP/1.1\r\n" H "Content-Length: 5, 5\r\n\r\nhello", "400!",
      "" },
    { "a length with a sign", "POST /a HTTP/1.1\r\n" H "Content-Length: +5\r\n\r\nhello", "400!",
      "" },
    { "a negative length", "POST /a HTTP/1.1\r\n" H "Content-Length: -5\r\n\r\nhello", "400!", "" },
    { "a hexadecimal length", "POST /a HTTP/1.1\r\n" H "Content-Length: 0x5\r\n\r\nhello", "400!",
      "" },
    { "an empty length", "POST /a HTTP/1.1\r\n" H "Content-Length: \r\n\r\n", "400!", "" },
    { "a blank inside a length", "POST /a HTTP/1.1\r\n" H "Content-Length: 1 0\r\n\r\n", "400!",
      "" },
    { "a length beyond 64 bits",
      "POST /a HTTP/1.1\r\n" H "Content-Length: 99999999999999999999\r\n\r\n", "400!", "" },
    { "a length that is too large", "POST /a HTTP/1.1\r\n" H "Content-Length: 1048577\r\n\r\n",
      "413!", "" },
    { "a length beyond the route's", "POST /small HTTP/1.1\r\n" H "Content-Length: 11\r\n\r\n",
      "413!", "" },
    { "a coding that is not chunked", "POST /a HTTP/1.1\r\n" H "Transfer-Encoding: gzip\r\n\r\n",
      "400!", "" },
    { "a coding after chunked", "POST /a HTTP/1.1\r\n" H "Transfer-Encoding: chunked, gzip\r\n\r\n",
      "400!", "" },
    { "identity", "POST /a HTTP/1.1\r\n" H "Transfer-Encoding: identity\r\n\r\n", "400!", "" },
    { "chunked twice", "POST /a HTTP/1.1\r\n" H "Transfer-Encoding: chunked, chunked\r\n\r\n",
      "400!", "" },
    { "chunked in two fields",
      "POST /a HTTP/1.1\r\n" H
      "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
      "400!", "" },
    { "an empty coding", "POST /a HTTP/1.1\r\n" H "Transfer-Encoding:\r\n\r\n", "400!", "" },
    { "almost chunked", "POST /a HTTP/1.1\r\n" H "Transfer-Encoding: xchunked\r\n\r\n", "400!",
      "" },
    { "chunked with a parameter", "POST /a HTTP/1.1\r\n" H "Transfer-Encoding: chunked;q=1\r\n\r\n",
      "400!", "" },
    { "chunked in quotes", "POST /a HTTP/1.1\r\n" H "Transfer-Encoding: \"chunked\"\r\n\r\n",
      "400!", "" },
    { "a vertical tab before it", "POST /a HTTP/1.1\r\n" H "Transfer-Encoding: \vchunked\r\n\r\n",
      "400!", "" },
    { "a coding before chunked",
      "POST /a HTTP/1.1\r\n" H "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n" NEXT, "501!",
      "" },
    { "a coding before chunked, in two fields",
      "POST /a HTTP/1.1\r\n" H
      "Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
      "501!", "" },
    { "chunked in HTTP/1.0", "POST /a HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
      "400!", "" },
    { "a blank before the colon",
      "POST /a HTTP/1.1\r\n" H "Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n", "400!", "" },
    { "a name with a blank", "GET /a HTTP/1.1\r\n" H "X Y: 1\r\n\r\n", "400!", "" },
    { "a folded line", "GET /a HTTP/1.1\r\n" H "X: 1\r\n 2\r\n\r\n", "400!", "" },
    { "a line folded by a tab", "GET /a HTTP/1.1\r\n" H "X: 1\r\n\t2\r\n\r\n", "400!", "" },
    { "a blank before the first field", "GET /a HTTP/1.1\r\n " H "\r\n", "400!", "" },
    { "bare LF after a field", "GET /a HTTP/1.1\r\nHost: localhost\n\r\n", "400!", "" },
    { "bare LF at the end of the head", "GET /a HTTP/1.1\r\n" H "\n" NEXT, "400!", "" },
    { "bare CR in a value", "GET /a HTTP/1.1\r\n" H "X: a\rb\r\n\r\n", "400!", "" },
    { "bare CR in a name", "GET /a HTTP/1.1\r\n" H "X\rY: a\r\n\r\n", "400!", "" },
    { "CR CR LF", "GET /a HTTP/1.1\r\n" H "X: a\r\r\n\r\n", "400!", "" },
    { "DEL in a value", "GET /a HTTP/1.1\r\n" H "X: \x7f\r\n\r\n", "400!", "" },
    { "a control character in a value", "GET /a HTTP/1.1\r\n" H "X: \x01\r\n\r\n", "400!", "" },
    { "a field without colon", "GET /a HTTP/1.1\r\n" H "Nothing\r\n\r\n", "400!", "" },
    { "a field without name", "GET /a HTTP/1.1\r\n" H ": x\r\n\r\n", "400!", "" },
    { "a byte above 127 in a name", "GET /a HTTP/1.1\r\n" H "X\xc3\xa9: x\r\n\r\n", "400!", "" },
};

static const struct row heads[] = {
    { "five empty lines", "\r\n\r\n\r\n\r\n\r\n" NEXT, "400!", "" },
    { "a bare LF before the request", "\n" NEXT, "400!", "" },
    { "a bare CR before the request", "\rGET / HTTP/1.1\r\n", "400!", "" },
    { "no request", "\x16\x03\x01\x02\r\n", "400!", "" },
    { "a blank before the method", " GET /a HTTP/1.1\r\n" H "\r\n", "400!", "" },
    { "bare LF after the request line", "GET /a HTTP/1.1\n" H "\r\n", "400!", "" },
    { "two blanks", "GET  /a HTTP/1.1\r\n" H "\r\n", "400!", "" },
    { "two blanks before the version", "GET /a  HTTP/1.1\r\n" H "\r\n", "400!", "" },
    { "a tab", "GET\t/a HTTP/1.1\r\n" H "\r\n", "400!", "" },
    { "a blank after the version", "GET /a HTTP/1.1 \r\n" H "\r\n", "400!", "" },
    { "a blank in the target", "GET /a b HTTP/1.1\r\n" H "\r\n", "400!", "" },
    { "a fragment", "GET /a#b HTTP/1.1\r\n" H "\r\n", "400!", "" },
    { "a byte above 127 in the target", "GET /\xc3\xa9 HTTP/1.1\r\n" H "\r\n", "400!", "" },
    { "a quote in the target", "GET /\" HTTP/1.1\r\n" H "\r\n", "400!", "" },
    { "no target", "GET HTTP/1.1\r\n" H "\r\n", "400!", "" },
    { "a relative target", "GET a HTTP/1.1\r\n" H "\r\n", "400!", "" },
    { "an asterisk for GET", "GET * HTTP/1.1\r\n" H "\r\n", "400!", "" },
    { "an authority for GET", "GET localhost:80 HTTP/1.1\r\n" H "\r\n", "400!", "" },
    { "another scheme", "GET ftp://localhost/a HTTP/1.1\r\n" H "\r\n", "400!", "" },
    { "an absolute target without host", "GET http:///a HTTP/1.1\r\n" H "\r\n", "400!", "" },
    { "user information", "GET http://a@localhost/ HTTP/1.1\r\n" H "\r\n", "400!", "" },
    { "HTTP/0.9", "GET /a\r\n", "400!", "" },
    { "a version in lower case", "GET /a http/1.1\r\n" H "\r\n", "400!", "" },
    { "a version with two digits", "GET /a HTTP/1.10\r\n" H "\r\n", "400!", "" },
    { "another protocol", "GET /a ICE/1.1\r\n" H "\r\n", "400!", "" },
    { "HTTP/2.0", "GET /a HTTP/2.0\r\n" H "\r\n", "505!", "" },
    { "HTTP/1.2", "GET /a HTTP/1.2\r\n" H "\r\n", "505!", "" },
    { "HTTP/0.9 in words", "GET /a HTTP/0.9\r\n" H "\r\n", "505!", "" },
    { "the preface of HTTP/2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "505!", "" },
    { "an unknown method", "BREW /a HTTP/1.1\r\n" H "\r\n", "501!", "" },
    { "a known method in lower case", "get /a HTTP/1.1\r\n" H "\r\n", "501!", "" },
    { "a method of WebDAV", "PROPFIND /a HTTP/1.1\r\n" H "\r\n", "501!", "" },
    { "CONNECT", "CONNECT localhost:80 HTTP/1.1\r\n" H "\r\n", "501!", "" },
    { "no Host", "GET /a HTTP/1.1\r\n\r\n", "400!", "" },
    { "two Hosts", "GET /a HTTP/1.1\r\n" H H "\r\n", "400!", "" },
    { "two Hosts in HTTP/1.0", "GET /a HTTP/1.0\r\n" H H "\r\n", "400!", "" },
    { "an empty Host", "GET /a HTTP/1.1\r\nHost:\r\n\r\n", "400!", "" },
    { "a Host with a path", "GET /a HTTP/1.1\r\nHost: localhost/x\r\n\r\n", "400!", "" },
    { "a Host with user information", "GET /a HTTP/1.1\r\nHost: a@localhost\r\n\r\n", "400!", "" },
    { "a Host with a bad port", "GET /a HTTP/1.1\r\nHost: localhost:8x\r\n\r\n", "400!", "" },
    { "two Hosts in one", "GET /a HTTP/1.1\r\nHost: localhost, other\r\n\r\n", "400!", "" },
    { "a broken IPv6 Host", "GET /a HTTP/1.1\r\nHost: [::1\r\n\r\n", "400!", "" },
    { "an unknown expectation",
      "POST /a HTTP/1.1\r\n" H "Expect: magic\r\nContent-Length: 2\r\n\r\nhi", "417!", "" },
    { "an unknown expectation in HTTP/1.0 is ignored",
      "POST /a HTTP/1.0\r\nExpect: magic\r\nContent-Length: 2\r\n\r\nhi", "200!", "POST /a:hi|" },
};

static void check_row(const struct row *r, size_t split)
{
    struct str bytes = str_of(r->bytes);
    struct fixture f;
    char summary[256];

    fixture_init(&f);
    if (split == 0) {
        loopback_send_bytewise(&f.client, bytes);
    } else {
        loopback_send(&f.client, (struct str){ bytes.p, split });
        loopback_send(&f.client, (struct str){ bytes.p + split, bytes.n - split });
    }
    fixture_summary(&f, summary, sizeof(summary));
    buf_add(&f.handled, "", 1);
    if (strcmp(summary, r->answers) != 0 || strcmp(f.handled.p, r->handled) != 0)
        fail_msg("%s, split at %zu: '%s' and '%s' instead of '%s' and '%s'", r->name, split,
                 summary, f.handled.p, r->answers, r->handled);
    fixture_deinit(&f);
}

static void check_rows(const struct row *rows, size_t n)
{
    for (size_t i = 0; i < n; i++)
        for (size_t split = 0; split <= strlen(rows[i].bytes); split++)
            check_row(&rows[i], split);
}

static void http__takes_what_is_a_request(void **state)
{
    (void)state;
    check_rows(good, ARRAY_LEN(good));
}

static void http__takes_chunked_bodies_apart(void **state)
{
    (void)state;
    check_rows(chunked, ARRAY_LEN(chunked));
}

static void http__refuses_what_two_readers_could_read_differently(void **state)
{
    (void)state;
    check_rows(framing, ARRAY_LEN(framing));
}

static void http__refuses_heads_that_are_none(void **state)
{
    (void)state;
    check_rows(heads, ARRAY_LEN(heads));
}

/* NUL can't be in the tables. */
static void http__refuses_nul_wherever_it_is(void **state)
{
    static const char text[] = "POST /abc HTTP/1.1\r\n" H "X-Name: value\r\n"
                               "Transfer-Encoding: chunked\r\n\r\n2;ext=1\r\nhi\r\n0\r\n\r\n";

    (void)state;
    for (size_t at = 0; at < sizeof(text) - 1; at++) {
        char copy[sizeof(text)];
        struct fixture f;
        size_t data = (size_t)(strstr(text, "hi\r\n") - text);
        bool is_data = at == data || at == data + 1;

        memcpy(copy, text, sizeof(text));
        copy[at] = '\0';
        fixture_init(&f);
        loopback_send(&f.client, (struct str){ copy, sizeof(text) - 1 });
        loopback_shutdown(&f.client);
        assert_summary(&f, is_data ? "200!" : "400!");
        fixture_deinit(&f);
    }
}

/* Any byte of a good request replaced by any other: no crash, an answer or a clean end. */
static void http__survives_any_wrong_byte(void **state)
{
    static const char text[] = "POST /a HTTP/1.1\r\n" H "X: y\r\nTransfer-Encoding: chunked\r\n\r\n"
                               "2;e=1\r\nhi\r\n0\r\nT: u\r\n\r\n" NEXT;

    (void)state;
    for (size_t at = 0; at < sizeof(text) - 1; at++) {
        for (unsigned c = 0; c < 256; c++) {
            char copy[sizeof(text)];
            char summary[256];
            struct fixture f;

            memcpy(copy, text, sizeof(text));
            copy[at] = (char)c;
            fixture_init(&f);
            loopback_send(&f.client, (struct str){ copy, sizeof(text) - 1 });
            loopback_shutdown(&f.client);
            fixture_summary(&f, summary, sizeof(summary));
            assert_true(f.client.is_closed);
            assert_true(summary[0] != '\0' && summary[0] != '!');
            fixture_deinit(&f);
        }
    }
}

static unsigned next_random(unsigned *seed)
{
    *seed = *seed * 1664525u + 1013904223u;
    return *seed >> 8;
}

static void http__does_not_care_how_a_stream_is_cut(void **state)
{
    unsigned seed = 20261120;
    struct buf text = { 0 };
    struct buf whole = { 0 };
    struct fixture f;

    (void)state;
    print_message("seed %u\n", seed);
    for (unsigned i = 0; i < 40; i++) {
        buf_printf(&text, "POST /r%u HTTP/1.1\r\n" H "Content-Length: %u\r\n\r\n%0*u", i,
                   i * 30 + 1, (int)(i * 30 + 1), i);
        buf_printf(&text, "%s", CHUNKED "5\r\nhello\r\n3;x\r\nabc\r\n0\r\n\r\n");
    }
    fixture_init(&f);
    loopback_send(&f.client, buf_str(&text));
    buf_add_str(&whole, buf_str(&f.client.received));
    fixture_deinit(&f);
    for (unsigned round = 0; round < 100; round++) {
        size_t at = 0;

        fixture_init(&f);
        while (at < text.n) {
            size_t n = next_random(&seed) % (1u << (round % 12)) + 1;

            if (n > text.n - at)
                n = text.n - at;
            loopback_send(&f.client, (struct str){ text.p + at, n });
            at += n;
        }
        assert_int_equal(f.client.received.n, whole.n);
        assert_memory_equal(f.client.received.p, whole.p, whole.n);
        assert_int_equal(f.server.counters.requests, 80);
        fixture_deinit(&f);
    }
    buf_deinit(&text);
    buf_deinit(&whole);
}

static void http__writes_an_answer_as_it_should_be(void **state)
{
    struct fixture f;

    (void)state;
    fixture_init(&f);
    fixture_send(&f, "GET /a HTTP/1.1\r\n" H "\r\n");
    assert_str(buf_str(&f.client.received), "HTTP/1.1 200 OK\r\n"
                                            "Date: Fri, 20 Nov 2026 12:00:00 GMT\r\n"
                                            "Content-Type: text/plain\r\n"
                                            "Content-Length: 2\r\n"
                                            "\r\nok");
    fixture_deinit(&f);
}

static void http__tells_a_1_0_client_that_it_may_stay(void **state)
{
    struct fixture f;
    struct str value;
    struct reply r;

    (void)state;
    fixture_init(&f);
    fixture_send(&f, "GET /a HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    r = fixture_reply(&f);
    assert_true(reply_field(&r, "Connection", &value));
    assert_str(value, "keep-alive");
    fixture_deinit(&f);
}

static void http__lets_the_owner_write_its_errors(void **state)
{
    struct fixture f;
    struct str value;
    struct reply r;

    (void)state;
    fixture_init(&f);
    fixture_send(&f, "GET /a HTTP/1.1\r\n\r\n");
    r = fixture_reply(&f);
    assert_int_equal(r.status, 400);
    assert_str(r.body, "{\"code\":\"bad_host\"}");
    assert_true(reply_field(&r, "Content-Type", &value));
    assert_str(value, "application/problem+json");
    assert_true(reply_field(&r, "Connection", &value));
    assert_str(value, "close");
    assert_int_equal(f.server.counters.faults[HTTP_FAULT_HOST], 1);
    assert_int_equal(f.answered_told, 1);
    fixture_deinit(&f);
}

static void http__answers_only_to_its_own_names_when_told_so(void **state)
{
    static const struct str hosts[] = { { "shop.example", 12 } };
    static const struct row rows[] = {
        { "", "GET /a HTTP/1.1\r\nHost: localhost:8080\r\n\r\n", "200", "" },
        { "", "GET /a HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", "200", "" },
        { "", "GET /a HTTP/1.1\r\nHost: [::1]:80\r\n\r\n", "200", "" },
        { "", "GET /a HTTP/1.1\r\nHost: Shop.Example\r\n\r\n", "200", "" },
        { "", "GET /a HTTP/1.1\r\nHost: evil.example\r\n\r\n", "421!", "" },
        { "", "GET /a HTTP/1.1\r\nHost: localhost.evil.example\r\n\r\n", "421!", "" },
        { "", "GET http://evil.example/a HTTP/1.1\r\nHost: localhost\r\n\r\n", "421!", "" },
        { "", "GET http://localhost/a HTTP/1.1\r\nHost: evil.example\r\n\r\n", "421!", "" },
        { "", "GET /a HTTP/1.0\r\nHost: evil.example\r\n\r\n", "421!", "" },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct fixture f;

        fixture_config(&f);
        f.config.checks_host = true;
        f.config.hosts = hosts;
        f.config.n_hosts = ARRAY_LEN(hosts);
        fixture_start(&f);
        fixture_send(&f, rows[i].bytes);
        assert_summary(&f, rows[i].answers);
        fixture_deinit(&f);
    }
}

static void http__takes_the_host_from_an_absolute_target(void **state)
{
    struct fixture f;

    (void)state;
    fixture_init(&f);
    fixture_send(&f, "GET http://one.example/host HTTP/1.1\r\nHost: two.example\r\n\r\n");
    assert_str(fixture_reply(&f).body, "one.example");
    fixture_deinit(&f);
}

static void http__leaves_no_way_to_write_fields_by_a_value(void **state)
{
    struct http_header header = { STR("Location"), STR("/a\r\nX-Evil: 1\n") };
    struct http_response res = { .status = 201, .headers = &header, .n_headers = 1 };
    struct fixture f;
    struct reply r;
    struct str value;

    (void)state;
    fixture_init(&f);
    fixture_send(&f, "GET /hold HTTP/1.1\r\n" H "\r\n");
    http_respond(f.held[--f.n_held], &res);
    loopback_turn(&f.client);
    r = fixture_reply(&f);
    assert_false(reply_field(&r, "X-Evil", &value));
    assert_true(reply_field(&r, "Location", &value));
    assert_str(value, "/a  X-Evil: 1 ");
    fixture_deinit(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(http__takes_what_is_a_request),
        cmocka_unit_test(http__takes_chunked_bodies_apart),
        cmocka_unit_test(http__refuses_what_two_readers_could_read_differently),
        cmocka_unit_test(http__refuses_heads_that_are_none),
        cmocka_unit_test(http__refuses_nul_wherever_it_is),
        cmocka_unit_test(http__survives_any_wrong_byte),
        cmocka_unit_test(http__does_not_care_how_a_stream_is_cut),
        cmocka_unit_test(http__writes_an_answer_as_it_should_be),
        cmocka_unit_test(http__tells_a_1_0_client_that_it_may_stay),
        cmocka_unit_test(http__lets_the_owner_write_its_errors),
        cmocka_unit_test(http__answers_only_to_its_own_names_when_told_so),
        cmocka_unit_test(http__takes_the_host_from_an_absolute_target),
        cmocka_unit_test(http__leaves_no_way_to_write_fields_by_a_value),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
