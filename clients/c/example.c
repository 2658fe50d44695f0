/*
 * A board that sends readings of all types and a file, and then does what it is told for a while.
 *
 *     cc -std=c99 -o example example.c
 *     ./example HOST PORT IDENTITY TOKEN FILE STATE [SECONDS]
 *
 * STATE is a file that remembers how far FILE has got; firmware is written beside it, STATE.firmware. A line is printed
 * for each ack. Sockets and files here are those of POSIX: on a board, its own take their place.
 */
#define _POSIX_C_SOURCE 200112L
#include <netdb.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define IOTGW_IMPLEMENTATION
#include "iotgw.h"

struct board { int socket; FILE *file; const char *state, *firmware; unsigned long long stamp; };

static uint32_t ticks(void *context) {
    struct timespec now;
    (void)context;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint32_t)((uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000);
}

static int send_all(void *context, const uint8_t *data, size_t size) {
    struct board *board = context;
    while (size) {
        ssize_t count = send(board->socket, data, size, 0);
        if (count <= 0) return -1;
        data += count;
        size -= (size_t)count;
    }
    return 0;
}

static int receive(void *context, uint8_t *data, size_t size, uint32_t wait_ms) {
    struct board *board = context;
    struct pollfd wanted = {board->socket, POLLIN, 0};
    ssize_t count;
    if (poll(&wanted, 1, (int)wait_ms) <= 0) return 0;
    count = recv(board->socket, data, size, 0);
    return count > 0 ? (int)count : -1;
}

static void on_ack(void *context, uint8_t kind, uint16_t sequence, uint8_t result) {
    (void)context;
    printf("ack %d %d %d\n", kind, sequence, result);
}

/* "echo" answers its arguments. */
static uint8_t on_command(void *context, struct iotgw *g, const uint8_t *name, uint8_t size, struct iotgw_arguments *arguments) {
    struct iotgw_value value;
    (void)context;
    printf("command %.*s\n", size, (const char *)name);
    if (size != 4 || memcmp(name, "echo", 4)) return IOTGW_UNKNOWN;
    while (iotgw_next(arguments, &value)) {
        iotgw_u8(g, value.name_size);
        iotgw_put(g, value.name, value.name_size);
        if (value.type < 2) iotgw_truth(g, (int)value.number);
        else if (value.type < 6) iotgw_whole(g, value.number);
        else if (value.type == 6) iotgw_f32(g, (float)value.real);
        else if (value.type == 7) iotgw_f64(g, value.real);
        else {
            iotgw_u8(g, value.type);
            if (value.type < 10) iotgw_u16(g, value.size);
            iotgw_put(g, value.data, value.size);
        }
    }
    return arguments->at == arguments->end ? IOTGW_DONE : IOTGW_WRONG;
}

static int32_t on_offer(void *context, uint32_t file, uint32_t size, uint32_t *crc32) {
    struct board *board = context;
    FILE *there = fopen(board->firmware, "rb");
    uint32_t offset = 0;
    uint8_t block[512];
    size_t count;
    while (there && offset < size && (count = fread(block, 1, size - offset < sizeof block ? size - offset : sizeof block, there)) > 0) {
        *crc32 = iotgw_crc32(*crc32, block, count);
        offset += (uint32_t)count;
    }
    if (there) fclose(there);
    printf("offer %lu %lu %lu\n", (unsigned long)file, (unsigned long)size, (unsigned long)offset);
    return (int32_t)offset;
}

static void on_chunk(void *context, uint32_t offset, const uint8_t *data, size_t size) {
    struct board *board = context;
    FILE *target = fopen(board->firmware, offset ? "r+b" : "wb");
    if (target) {
        fseek(target, (long)offset, SEEK_SET);
        fwrite(data, 1, size, target);
        fclose(target);
    }
    printf("chunk %lu %lu\n", (unsigned long)offset, (unsigned long)size);
}

static void on_loaded(void *context, int is_good) {
    (void)context;
    printf("loaded %s\n", is_good ? "True" : "False");
}

static int read_file(void *context, uint32_t offset, uint8_t *data, size_t size) {
    struct board *board = context;
    return fseek(board->file, (long)offset, SEEK_SET) || fread(data, 1, size, board->file) != size;
}

static void progress(void *context, uint32_t offset) {
    struct board *board = context;
    char name[1024];
    FILE *state;
    snprintf(name, sizeof name, "%s.new", board->state);
    state = fopen(name, "w");
    if (!state) return;
    fprintf(state, "%llu %lu", board->stamp, (unsigned long)offset);
    fclose(state);
    rename(name, board->state);
}

static int connect_to(const char *host, const char *port) {
    struct addrinfo hints, *found = NULL;
    int fd = -1;
    memset(&hints, 0, sizeof hints);
    hints.ai_socktype = SOCK_STREAM;
    if (getaddrinfo(host, port, &hints, &found)) return -1;
    fd = socket(found->ai_family, found->ai_socktype, found->ai_protocol);
    if (fd >= 0 && connect(fd, found->ai_addr, found->ai_addrlen)) { close(fd); fd = -1; }
    freeaddrinfo(found);
    return fd;
}

static int send_readings(struct iotgw *g) {
    int error = iotgw_begin(g, IOTGW_READINGS);
    if (error) return error;
    iotgw_moment(g, iotgw_now(g));
    iotgw_u8(g, 1), iotgw_point(g, 312304000, 1214737000, 1250, 360, 9000);
    iotgw_u8(g, 2), iotgw_f32(g, 21.5f);
    iotgw_u8(g, 4), iotgw_f64(g, 1013.25);
    iotgw_u8(g, 36), iotgw_whole(g, 2400);
    iotgw_u8(g, 48), iotgw_whole(g, -71);
    iotgw_u8(g, 82), iotgw_truth(g, 1);
    iotgw_u8(g, 80), iotgw_truth(g, 0);
    iotgw_u8(g, 112), iotgw_text(g, "\xe6\xb8\xa9\xe5\xba\xa6 ok");
    iotgw_moment(g, iotgw_now(g) + 1);
    iotgw_u8(g, 49), iotgw_whole(g, 70000);
    iotgw_u8(g, 51), iotgw_whole(g, -5);
    iotgw_u8(g, 66), iotgw_whole(g, 3000000000);
    iotgw_u8(g, 128), iotgw_whole(g, 90);
    iotgw_u8(g, 129), iotgw_bytes(g, "\0\xff", 2);
    return iotgw_end(g);
}

static int send_picture(struct iotgw *g, struct board *board, const char *path) {
    unsigned long offset = 0;
    const char *name = strrchr(path, '/');
    FILE *state = fopen(board->state, "r");
    long size;
    int error;
    board->stamp = iotgw_now(g);
    if (state) {
        if (fscanf(state, "%llu %lu", &board->stamp, &offset) != 2) offset = 0;
        fclose(state);
    } else {
        progress(board, 0);
    }
    board->file = fopen(path, "rb");
    if (!board->file) return IOTGW_TOO_LONG;
    fseek(board->file, 0, SEEK_END);
    size = ftell(board->file);
    printf("file %llu %lu\n", board->stamp, offset);
    error = iotgw_file(g, board->stamp, 1, name ? name + 1 : path, (uint32_t)size, (uint32_t)offset, read_file, progress);
    fclose(board->file);
    if (!error) remove(board->state);
    return error;
}

static int stay(struct iotgw *g, double seconds) {
    uint32_t since = ticks(NULL);
    int error = 0;
    while (!error && ticks(NULL) - since < (uint32_t)(1000 * seconds)) error = iotgw_poll(g, 100);
    return error;
}

int main(int count, char **words) {
    static const struct iotgw_channel channels[] = {{128, "lid_angle_deg", "\xc2\xb0"}};
    static uint8_t in[2048], out[8192];
    struct board board = {-1, NULL, NULL, NULL, 0};
    struct iotgw g;
    char firmware[1024];
    int step = 0, error = 0, lost = 0;
    if (count < 7) return fprintf(stderr, "usage: example HOST PORT IDENTITY TOKEN FILE STATE [SECONDS]\n"), 64;
    signal(SIGPIPE, SIG_IGN);
    setvbuf(stdout, NULL, _IOLBF, 0);
    snprintf(firmware, sizeof firmware, "%s.firmware", words[6]);
    board.state = words[6];
    board.firmware = firmware;
    memset(&g, 0, sizeof g);
    g.identity = words[3], g.token = words[4], g.model = "example", g.software = "1.0.0";
    g.channels = channels, g.channel_count = 1;
    g.in = in, g.in_size = sizeof in, g.out = out, g.out_size = sizeof out;
    g.context = &board, g.send = send_all, g.recv = receive, g.ticks = ticks, g.on_ack = on_ack;
    g.on_command = on_command, g.on_offer = on_offer, g.on_chunk = on_chunk, g.on_loaded = on_loaded;
    while (step < 5) {
        if (board.socket < 0) {
            board.socket = connect_to(words[1], words[2]);
            error = board.socket < 0 ? IOTGW_LOST : iotgw_connect(&g);
            if (!error) printf("welcome %u %u\n", g.payload, g.window);
        }
        if (!error) {
            uint8_t before = g.waiting;
            switch (step) {
            case 0: error = send_readings(&g); break;
            case 1: error = iotgw_sync(&g); break;
            case 2: error = send_picture(&g, &board, words[5]); break;
            case 3: error = stay(&g, count > 7 ? atof(words[7]) : 0); break;
            case 4: error = iotgw_drain(&g) ? IOTGW_LOST : iotgw_bye(&g); break;
            }
            /* What was begun before the link broke waits for the next one; a file is taken up where it was left. */
            if (!error || (error == IOTGW_LOST && step < 2 && g.waiting > before)) step++;
        }
        if (error == IOTGW_LOST) {
            struct timespec pause = {0, 0};
            long ms = lost < 6 ? 100L << lost : 5000;
            printf("lost\n");
            if (board.socket >= 0) close(board.socket);
            board.socket = -1;
            if (++lost == 20) return 1;
            pause.tv_sec = ms / 1000, pause.tv_nsec = ms % 1000 * 1000000;
            nanosleep(&pause, NULL);
        } else if (error) {
            printf(error == IOTGW_REFUSED ? "refused\n" : "cannot send\n");
            return 2;
        }
        error = 0;
    }
    close(board.socket);
    return 0;
}
