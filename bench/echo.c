/* An echo of fixed sizes on epoll, and the load that measures any server that answers frames.
 *
 * echo serve FRAME ANSWER            prints its port; ANSWER bytes for each FRAME bytes, until it is killed
 * echo load PORT [name=value ...]    prints one line of JSON
 *
 *   connections=1000 in_flight=1 warm_up=0.5 seconds=3
 *   hello=HEX  hello_answers=1       sent once on each connection; the clock starts when all have their answers
 *   report=HEX                       sent again and again, in_flight of them ahead of the answers
 *   rate=0                           or so many a second in all, due by the clock whatever comes back: latencies are then
 *                                    those of what was due in the window, from when it was due
 *   drain=0                          after the window, send no more and wait so many seconds at most for what is unanswered
 *   wait=0                           1: prints "ready" when all have their answers to hello, and waits for a line to go on
 *   announce=0                       1: prints "measuring" when the window begins
 *   put=WHAT:OFFSET:LENGTH:FORM      into hello and report; hello_put, report_put: into one of them.
 *                                    WHAT is device, sequence or time, FORM is be, bcd or text
 *   first_device=13900000000 first_time=1735689600
 *   jt808=1                          hello and report are header and body: checksum, escapes and marks are added
 *   answer=20  or  answer_marks=2    an answer is so many bytes, or ends with the second 7e
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { EVENTS = 1024, CHUNK = 65536, PUTS = 8, FRAME = 4096, SLOTS = 64, BUCKETS = 64 * 64 };

static void check(int is_good, const char *what) {
    if (is_good) return;
    perror(what);
    exit(1);
}

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + t.tv_nsec * 1e-9;
}

static int raise_limit(void) {
    struct rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    return setrlimit(RLIMIT_NOFILE, &limit);
}

static void serve(int frame, int answer) {
    int on = 1, poller = epoll_create1(0), listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    static char data[CHUNK];
    int most = CHUNK / frame + 2, *pending = calloc(1 << 20, sizeof *pending);
    char *answers = calloc(most, answer);
    check(!bind(listener, (void *)&address, size) && !listen(listener, 4096), "listen");
    getsockname(listener, (void *)&address, &size);
    printf("%d\n", ntohs(address.sin_port));
    fflush(stdout);
    struct epoll_event event = {EPOLLIN, {.fd = listener}}, events[EVENTS];
    epoll_ctl(poller, EPOLL_CTL_ADD, listener, &event);
    for (;;) {
        int count = epoll_wait(poller, events, EVENTS, -1);
        for (int i = 0; i < count; i++) {
            int fd = events[i].data.fd;
            if (fd == listener) {
                while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
                    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
                    pending[fd] = 0;
                    event.data.fd = fd;
                    epoll_ctl(poller, EPOLL_CTL_ADD, fd, &event);
                }
                continue;
            }
            ssize_t got = read(fd, data, CHUNK);
            if (got <= 0) {
                if (got == 0 || errno != EAGAIN) close(fd);
                continue;
            }
            int whole = (pending[fd] + got) / frame;
            pending[fd] = (pending[fd] + got) % frame;
            /* The load never has more than its window unanswered: a socket buffer always takes this. */
            if (whole && write(fd, answers, (size_t)whole * answer) != (ssize_t)whole * answer) close(fd);
        }
    }
}

enum form { BINARY = 256, BCD = 100, TEXT = 10 }; /* How much a byte holds. */
struct put { char what; int offset, length; enum form form; };
struct text { unsigned char bytes[FRAME]; int length, put_count; struct put puts[PUTS]; };
struct link { int fd, marks, bytes, answered, sent; double at[SLOTS]; };

static int is_jt808, answer_size = 20, answer_marks;
static int connections = 1000, in_flight = 1, hello_answers = 1, is_waiting, announce;
static double seconds = 3, warm_up = 0.5, rate, drain;
static struct text hello, report = {.length = 60};
static long first_device = 13900000000, first_time = 1735689600;
static unsigned latencies[BUCKETS];
static unsigned long measured, sent, acked;
static struct link *links;
static int poller;
static double begin;

static void read_hex(struct text *text, const char *hex) {
    text->length = strlen(hex) / 2;
    check(text->length <= FRAME / 4, "a shorter report");
    for (int i = 0; i < text->length; i++) sscanf(hex + 2 * i, "%2hhx", text->bytes + i);
}

static void add_put(struct text *text, const char *value) {
    char form[8], what[16];
    struct put *next = text->puts + text->put_count++;
    check(text->put_count <= PUTS && sscanf(value, "%15[a-z]:%d:%d:%7s", what, &next->offset, &next->length, form) == 4, "a put");
    next->what = what[0];
    next->form = !strcmp(form, "bcd") ? BCD : !strcmp(form, "text") ? TEXT : BINARY;
}

static void put(unsigned char *at, int length, enum form form, long value) {
    while (length--) {
        int part = value % form;
        at[length] = form == BCD ? part % 10 | part / 10 << 4 : form == TEXT ? '0' + part : part;
        value /= form;
    }
}

static int frame(struct text text, long device, long sequence, unsigned char *out) {
    int length = 0;
    for (const struct put *next = text.puts; next < text.puts + text.put_count; next++) {
        long value = next->what == 'd' ? first_device + device : sequence;
        if (next->what == 't') {
            time_t moment = first_time + sequence;
            struct tm t;
            gmtime_r(&moment, &t);
            value = ((((t.tm_year % 100L * 100 + t.tm_mon + 1) * 100 + t.tm_mday) * 100 + t.tm_hour) * 100 + t.tm_min) * 100 + t.tm_sec;
            if (next->form == BINARY) value = moment;
        }
        put(text.bytes + next->offset, next->length, next->form, value);
    }
    if (!is_jt808) {
        memcpy(out, text.bytes, text.length);
        return text.length;
    }
    unsigned char sum = 0;
    for (int i = 0; i < text.length; i++) sum ^= text.bytes[i];
    text.bytes[text.length++] = sum;
    out[length++] = 0x7e;
    for (int i = 0; i < text.length; i++) {
        unsigned char byte = text.bytes[i];
        int is_escaped = byte == 0x7e || byte == 0x7d;
        out[length++] = is_escaped ? 0x7d : byte;
        if (is_escaped) out[length++] = byte == 0x7e ? 2 : 1;
    }
    out[length++] = 0x7e;
    return length;
}

/* Microseconds one by one, then 32 buckets for each doubling: 3 % fine. */
static void count_latency(double seconds) {
    unsigned long us = seconds * 1e6;
    int power = us < 64 ? 0 : 58 - __builtin_clzl(us);
    int bucket = power * 64 + (us >> power);
    latencies[bucket < BUCKETS ? bucket : BUCKETS - 1]++;
}

static double percentile(double part, unsigned long all) {
    unsigned long seen = 0;
    for (int i = 0; i < BUCKETS; i++) {
        seen += latencies[i];
        if (seen > part * all) return i < 64 ? i : (double)((i % 64L) << (i / 64));
    }
    return 0;
}

static int answers_in(struct link *link, const unsigned char *data, ssize_t length) {
    if (!answer_marks) {
        int whole = (link->bytes + length) / answer_size;
        link->bytes = (link->bytes + length) % answer_size;
        return whole;
    }
    for (const unsigned char *end = data + length; (data = memchr(data, 0x7e, end - data)); data++) link->marks++;
    int whole = link->marks / answer_marks;
    link->marks %= answer_marks;
    return whole;
}

static void send_all(struct link *link, const unsigned char *data, int length) {
    ssize_t sent = send(link->fd, data, length, MSG_NOSIGNAL);
    check(sent == length, "send");
}

/* Returns whether the option is known. */
static int set(const char *name, const char *value) {
    if (!strcmp(name, "connections")) connections = atoi(value);
    else if (!strcmp(name, "in_flight")) in_flight = atoi(value);
    else if (!strcmp(name, "seconds")) seconds = atof(value);
    else if (!strcmp(name, "warm_up")) warm_up = atof(value);
    else if (!strcmp(name, "rate")) rate = atof(value);
    else if (!strcmp(name, "drain")) drain = atof(value);
    else if (!strcmp(name, "wait")) is_waiting = atoi(value);
    else if (!strcmp(name, "announce")) announce = atoi(value);
    else if (!strcmp(name, "hello")) read_hex(&hello, value);
    else if (!strcmp(name, "hello_answers")) hello_answers = atoi(value);
    else if (!strcmp(name, "report")) read_hex(&report, value);
    else if (!strcmp(name, "first_device")) first_device = atol(value);
    else if (!strcmp(name, "first_time")) first_time = atol(value);
    else if (!strcmp(name, "jt808")) is_jt808 = atoi(value);
    else if (!strcmp(name, "answer")) answer_size = atoi(value);
    else if (!strcmp(name, "answer_marks")) answer_marks = atoi(value);
    else if (!strcmp(name, "hello_put")) add_put(&hello, value);
    else if (!strcmp(name, "report_put")) add_put(&report, value);
    else if (!strcmp(name, "put")) add_put(&hello, value), add_put(&report, value);
    else return 0;
    return 1;
}

static void connect_all(int port) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int on = 1;
    poller = epoll_create1(0);
    links = calloc(connections, sizeof *links);
    for (int i = 0; i < connections; i++) {
        links[i].fd = socket(AF_INET, SOCK_STREAM, 0);
        check(links[i].fd >= 0 && !connect(links[i].fd, (void *)&address, sizeof address), "connect");
        setsockopt(links[i].fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        struct epoll_event event = {EPOLLIN, {.ptr = links + i}};
        epoll_ctl(poller, EPOLL_CTL_ADD, links[i].fd, &event);
    }
}

/* The answers that came on a link. */
static int receive(struct link *link) {
    static unsigned char data[CHUNK];
    ssize_t got = recv(link->fd, data, CHUNK, MSG_DONTWAIT);
    if (got < 0 && errno == EAGAIN) return 0;
    check(got > 0, "a server that stays");
    return answers_in(link, data, got);
}

static void greet_all(void) {
    static unsigned char out[FRAME];
    static struct epoll_event events[EVENTS];
    int waiting = connections;
    for (int i = 0; i < connections; i++) send_all(links + i, out, frame(hello, i, 0, out));
    while (waiting > 0) {
        int ready = epoll_wait(poller, events, EVENTS, 60000);
        check(ready > 0, "answers to hello");
        for (int i = 0; i < ready; i++) {
            struct link *link = events[i].data.ptr;
            int before = link->answered;
            link->answered += receive(link);
            waiting -= before < hello_answers && link->answered >= hello_answers;
        }
    }
    for (int i = 0; i < connections; i++) links[i].answered = 0;
}

static void report_more(struct link *link, int count) {
    static unsigned char out[SLOTS * FRAME];
    int length = 0;
    double at = now();
    sent += count;
    for (; count > 0; count--) {
        link->at[link->sent % SLOTS] = at;
        length += frame(report, link - links, ++link->sent, out + length);
    }
    if (length) send_all(link, out, length);
}

/* When a link's next unanswered report was due, or sent where nothing is due by the clock. */
static double since(const struct link *link) {
    return rate ? begin + ((double)link->answered * connections + (link - links)) / rate : link->at[link->answered % SLOTS];
}

/* Waits for answers, until a time at the most; counts latencies of what is from one time on and before another. */
static int take_answers(double until, double from, double before, int is_sending) {
    static struct epoll_event events[EVENTS];
    double wait = until - now();
    struct timespec timeout = {.tv_sec = wait > 0 ? wait : 0, .tv_nsec = wait > 0 ? (wait - (long)wait) * 1e9 : 0};
    /* epoll_wait knows whole milliseconds only. */
    if (ppoll(&(struct pollfd){poller, POLLIN, 0}, 1, &timeout, NULL) <= 0) return 0;
    int ready = epoll_wait(poller, events, EVENTS, 0), taken = 0;
    check(ready >= 0, "epoll_wait");
    for (int i = 0; i < ready; i++) {
        struct link *link = events[i].data.ptr;
        int whole = receive(link);
        check(link->answered + whole <= link->sent, "no more answers than reports");
        double at = now();
        for (int j = 0; j < whole; j++, link->answered++) {
            double start = since(link);
            if (rate ? start < from || start >= before : at < from || at >= before) continue;
            count_latency(at - start);
            measured++;
        }
        taken += whole;
        if (is_sending && !rate) report_more(link, whole);
    }
    acked += taken;
    return taken;
}

static double processor_time(void) {
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return t.tv_sec + t.tv_nsec * 1e-9;
}

static int load(int port, int count, char **words) {
    for (int i = 0; i < count; i++) {
        char *value = strchr(words[i], '=');
        check(value != NULL, "name=value");
        *value++ = 0;
        if (set(words[i], value)) continue;
        fprintf(stderr, "no such option: %s\n", words[i]);
        return 2;
    }
    if (in_flight < 1 || in_flight > SLOTS) in_flight = SLOTS;
    connect_all(port);
    if (hello.length) greet_all();
    if (is_waiting) {
        printf("ready\n");
        fflush(stdout);
        check(getchar() != EOF, "a line to go on");
    }
    begin = now();
    for (int i = 0; !rate && i < connections; i++) report_more(links + i, in_flight);
    double start = begin + warm_up, end = start + seconds, busy = 0, at;
    unsigned long answered = 0;
    int is_measuring = 0;
    while ((at = now()) < end) {
        if (!is_measuring && at >= start) {
            is_measuring = 1;
            busy = processor_time();
            if (announce) printf("measuring\n");
            fflush(stdout);
        }
        double due = begin + sent / rate;
        for (; rate && due <= at && due < end; due = begin + sent / rate) report_more(links + sent % connections, 1);
        double wake = is_measuring ? end : start;
        int whole = take_answers(rate && due < wake ? due : wake, start, end, 1);
        if (is_measuring) answered += whole;
    }
    double taken = now() - start;
    busy = processor_time() - busy;
    for (double deadline = now() + drain; acked < sent && now() < deadline;) take_answers(deadline, start, end, 0);
    printf("{\"answered\": %lu, \"seconds\": %.4f, \"rate\": %.0f, \"p50_us\": %.0f, \"p99_us\": %.0f, \"busy\": %.3f, \"sent\": %lu, \"acked\": %lu}\n",
           answered, taken, answered / taken, percentile(0.5, measured), percentile(0.99, measured), busy / taken, sent, acked);
    return 0;
}

int main(int count, char **words) {
    raise_limit();
    if (count == 4 && !strcmp(words[1], "serve")) serve(atoi(words[2]), atoi(words[3]));
    if (count >= 3 && !strcmp(words[1], "load")) return load(atoi(words[2]), count - 3, words + 3);
    fprintf(stderr, "usage: echo serve FRAME ANSWER | echo load PORT [name=value ...]\n");
    return 2;
}
