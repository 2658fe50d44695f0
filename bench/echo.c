/* An echo of fixed sizes on epoll, and the load that measures any server that answers frames.
 *
 * echo serve FRAME ANSWER            prints its port; ANSWER bytes for each FRAME bytes, until it is killed
 * echo load PORT [name=value ...]    prints one line of JSON
 *
 *   connections=1000 in_flight=1 warm_up=0.5 seconds=3
 *   hello=HEX  hello_answers=1       sent once on each connection; the clock starts when all have their answers
 *   report=HEX                       sent again and again, in_flight of them ahead of the answers
 *   put=WHAT:OFFSET:LENGTH:FORM      into hello and report: WHAT is device, sequence or time, FORM is be or bcd
 *   first_device=13900000000 first_time=1735689600
 *   jt808=1                          hello and report are header and body: checksum, escapes and marks are added
 *   answer=20  or  answer_marks=2    an answer is so many bytes, or ends with the second 7e
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
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

struct put { char what; int offset, length, is_bcd; };
struct text { unsigned char bytes[FRAME]; int length; };
struct link { int fd, marks, bytes, answered, sent, head; double at[SLOTS]; };

static struct put puts_[PUTS];
static int put_count, is_jt808, answer_size = 20, answer_marks;
static long first_device = 13900000000, first_time = 1735689600;
static unsigned latencies[BUCKETS];

static struct text from_hex(const char *hex) {
    struct text text = {.length = strlen(hex) / 2};
    check(text.length <= FRAME / 4, "a shorter report");
    for (int i = 0; i < text.length; i++) sscanf(hex + 2 * i, "%2hhx", text.bytes + i);
    return text;
}

static void put(unsigned char *at, int length, int is_bcd, long value) {
    while (length--) {
        at[length] = is_bcd ? value % 10 | value / 10 % 10 << 4 : value & 0xff;
        value /= is_bcd ? 100 : 256;
    }
}

static int frame(struct text text, long device, long sequence, unsigned char *out) {
    int length = 0;
    for (int i = 0; i < put_count; i++) {
        long value = puts_[i].what == 'd' ? first_device + device : sequence;
        if (puts_[i].what == 't') {
            time_t moment = first_time + sequence;
            struct tm t;
            gmtime_r(&moment, &t);
            value = ((((t.tm_year % 100L * 100 + t.tm_mon + 1) * 100 + t.tm_mday) * 100 + t.tm_hour) * 100 + t.tm_min) * 100 + t.tm_sec;
            if (!puts_[i].is_bcd) value = moment;
        }
        put(text.bytes + puts_[i].offset, puts_[i].length, puts_[i].is_bcd, value);
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

static int load(int port, int count, char **words) {
    int connections = 1000, in_flight = 1, hello_answers = 1, on = 1, poller = epoll_create1(0);
    double seconds = 3, warm_up = 0.5;
    struct text hello = {.length = 0}, report = {.length = 60};
    for (int i = 0; i < count; i++) {
        char *value = strchr(words[i], '='), form[8], what[16];
        check(value != NULL, "name=value");
        *value++ = 0;
        struct put *next = puts_ + put_count;
        if (!strcmp(words[i], "connections")) connections = atoi(value);
        else if (!strcmp(words[i], "in_flight")) in_flight = atoi(value);
        else if (!strcmp(words[i], "seconds")) seconds = atof(value);
        else if (!strcmp(words[i], "warm_up")) warm_up = atof(value);
        else if (!strcmp(words[i], "hello")) hello = from_hex(value);
        else if (!strcmp(words[i], "hello_answers")) hello_answers = atoi(value);
        else if (!strcmp(words[i], "report")) report = from_hex(value);
        else if (!strcmp(words[i], "first_device")) first_device = atol(value);
        else if (!strcmp(words[i], "first_time")) first_time = atol(value);
        else if (!strcmp(words[i], "jt808")) is_jt808 = atoi(value);
        else if (!strcmp(words[i], "answer")) answer_size = atoi(value);
        else if (!strcmp(words[i], "answer_marks")) answer_marks = atoi(value);
        else if (!strcmp(words[i], "put") && put_count < PUTS &&
                 sscanf(value, "%15[a-z]:%d:%d:%7s", what, &next->offset, &next->length, form) == 4) {
            next->what = what[0];
            next->is_bcd = !strcmp(form, "bcd");
            put_count++;
        } else {
            fprintf(stderr, "no such option: %s\n", words[i]);
            return 2;
        }
    }
    if (in_flight < 1 || in_flight > SLOTS) in_flight = SLOTS;
    static unsigned char data[CHUNK], out[SLOTS * FRAME];
    struct link *links = calloc(connections, sizeof *links);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    for (int i = 0; i < connections; i++) {
        links[i].fd = socket(AF_INET, SOCK_STREAM, 0);
        check(links[i].fd >= 0 && !connect(links[i].fd, (void *)&address, sizeof address), "connect");
        setsockopt(links[i].fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        struct epoll_event event = {EPOLLIN, {.ptr = links + i}};
        epoll_ctl(poller, EPOLL_CTL_ADD, links[i].fd, &event);
    }
    struct epoll_event events[EVENTS];
    int waiting = hello.length ? connections : 0;
    for (int i = 0; waiting && i < connections; i++) send_all(links + i, out, frame(hello, i, 0, out));
    while (waiting > 0) {
        int ready = epoll_wait(poller, events, EVENTS, 30000);
        check(ready > 0, "answers to hello");
        for (int i = 0; i < ready; i++) {
            struct link *link = events[i].data.ptr;
            ssize_t got = recv(link->fd, data, CHUNK, MSG_DONTWAIT);
            check(got > 0, "an answer to hello");
            int before = link->answered;
            link->answered += answers_in(link, data, got);
            waiting -= before < hello_answers && link->answered >= hello_answers;
        }
    }
    for (int i = 0; i < connections; i++) {
        int length = 0;
        links[i].answered = links[i].sent = 0;
        for (int j = 0; j < in_flight; j++) {
            links[i].at[links[i].sent % SLOTS] = now();
            length += frame(report, i, ++links[i].sent, out + length);
        }
        send_all(links + i, out, length);
    }
    unsigned long answered = 0, turns = 0;
    double start = now() + warm_up, end = start + seconds;
    int is_measuring = 0;
    struct timespec cpu_start = {0}, cpu_end;
    for (double at = now(); at < end;) {
        int ready = epoll_wait(poller, events, EVENTS, 1000);
        check(ready >= 0, "epoll_wait");
        at = now();
        if (!is_measuring && at >= start) {
            is_measuring = 1;
            start = at;
            end = at + seconds;
            answered = turns = 0;
            memset(latencies, 0, sizeof latencies);
            clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &cpu_start);
        }
        turns++;
        for (int i = 0; i < ready; i++) {
            struct link *link = events[i].data.ptr;
            ssize_t got = recv(link->fd, data, CHUNK, MSG_DONTWAIT);
            if (got < 0 && errno == EAGAIN) continue;
            check(got > 0, "a server that stays");
            int whole = answers_in(link, data, got), length = 0;
            check(link->answered + whole <= link->sent, "no more answers than reports");
            at = now();
            for (int j = 0; j < whole; j++) {
                count_latency(at - link->at[link->answered++ % SLOTS]);
                link->at[link->sent % SLOTS] = at;
                length += frame(report, link - links, ++link->sent, out + length);
            }
            answered += whole;
            if (length) send_all(link, out, length);
        }
    }
    double taken = now() - start;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &cpu_end);
    double busy = (cpu_end.tv_sec - cpu_start.tv_sec) + (cpu_end.tv_nsec - cpu_start.tv_nsec) * 1e-9;
    printf("{\"answered\": %lu, \"seconds\": %.4f, \"rate\": %.0f, \"p50_us\": %.0f, \"p99_us\": %.0f, \"busy\": %.3f}\n", answered,
           taken, answered / taken, percentile(0.5, answered), percentile(0.99, answered), busy / taken);
    return 0;
}

int main(int count, char **words) {
    raise_limit();
    if (count == 4 && !strcmp(words[1], "serve")) serve(atoi(words[2]), atoi(words[3]));
    if (count >= 3 && !strcmp(words[1], "load")) return load(atoi(words[2]), count - 3, words + 3);
    fprintf(stderr, "usage: echo serve FRAME ANSWER | echo load PORT [name=value ...]\n");
    return 2;
}
