/* Preloaded into a process, this counts its file operations below a folder, and ends the process
 * after the one it is told to, as kill -9 would: nothing is flushed and no handler runs.
 *
 *     cc -shared -fPIC -O1 -o operations.so operations.c -ldl
 *     LD_PRELOAD=./operations.so python ...
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

#define CRASHED 99
#define CRASHED_WRITING 98
#define DESCRIPTORS 4096

static atomic_long operations;
static long crash_at = -1; /* the operation to end after; 0 only counts */
static int torn;           /* whether to end in the middle of it, if it writes */
static char root[4096];
static char below[DESCRIPTORS]; /* which descriptors are open below the folder */

/* Begin: end after operation number `at` below `folder`. */
void crash_begin(const char *folder, long at, int in_the_middle)
{
    strncpy(root, folder, sizeof root - 1);
    operations = 0;
    torn = in_the_middle;
    crash_at = at;
}

long crash_operations(void) { return operations; }

static int inside(const char *path) { return crash_at >= 0 && !strncmp(path, root, strlen(root)); }

static void done_as(int code)
{
    if (++operations == crash_at)
        _exit(code);
}

static void done(void) { done_as(CRASHED); }

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

static int opened(int fd, const char *path, int flags)
{
    if (fd >= 0 && fd < DESCRIPTORS) {
        below[fd] = inside(path);
        if (below[fd] && (flags & (O_WRONLY | O_RDWR | O_CREAT)))
            done();
    }
    return fd;
}

#define OPEN(name)                                                                                 \
    int name(const char *path, int flags, ...)                                                     \
    {                                                                                              \
        va_list rest;                                                                              \
        va_start(rest, flags);                                                                     \
        mode_t mode = va_arg(rest, mode_t);                                                        \
        va_end(rest);                                                                              \
        return opened(REAL(name)(path, flags, mode), path, flags);                                 \
    }
OPEN(open)
OPEN(open64)

#define OPENAT(name)                                                                               \
    int name(int folder, const char *path, int flags, ...)                                         \
    {                                                                                              \
        va_list rest;                                                                              \
        va_start(rest, flags);                                                                     \
        mode_t mode = va_arg(rest, mode_t);                                                        \
        va_end(rest);                                                                              \
        return opened(REAL(name)(folder, path, flags, mode), path, flags);                         \
    }
OPENAT(openat)
OPENAT(openat64)

int close(int fd)
{
    if (fd >= 0 && fd < DESCRIPTORS)
        below[fd] = 0;
    return REAL(close)(fd);
}

static int counts(int fd) { return crash_at >= 0 && fd >= 0 && fd < DESCRIPTORS && below[fd]; }

/* How much of a write to do: half of it, if the process is to end in its middle. */
static size_t part(int fd, size_t size)
{
    return counts(fd) && torn && operations + 1 == crash_at ? size / 2 : size;
}

ssize_t write(int fd, const void *data, size_t size)
{
    ssize_t wrote = REAL(write)(fd, data, part(fd, size));
    if (counts(fd))
        done_as(CRASHED_WRITING);
    return wrote;
}

#define PWRITE(name, offset_t)                                                                     \
    ssize_t name(int fd, const void *data, size_t size, offset_t at)                               \
    {                                                                                              \
        ssize_t wrote = REAL(name)(fd, data, part(fd, size), at);                                  \
        if (counts(fd))                                                                            \
            done_as(CRASHED_WRITING);                                                              \
        return wrote;                                                                              \
    }
PWRITE(pwrite, off_t)
PWRITE(pwrite64, off64_t)

ssize_t writev(int fd, const struct iovec *parts, int number)
{
    int some = counts(fd) && torn && operations + 1 == crash_at ? (number + 1) / 2 : number;
    ssize_t wrote = REAL(writev)(fd, parts, some);
    if (counts(fd))
        done_as(CRASHED_WRITING);
    return wrote;
}

#define ON_DESCRIPTOR(name)                                                                        \
    int name(int fd)                                                                               \
    {                                                                                              \
        int code = REAL(name)(fd);                                                                 \
        if (counts(fd))                                                                            \
            done();                                                                                \
        return code;                                                                               \
    }
ON_DESCRIPTOR(fsync)
ON_DESCRIPTOR(fdatasync)

#define ON_PATH(name, declared, given, path)                                                       \
    int name declared                                                                              \
    {                                                                                              \
        int code = REAL(name) given;                                                               \
        if (!code && inside(path))                                                                 \
            done();                                                                                \
        return code;                                                                               \
    }
ON_PATH(rename, (const char *a, const char *b), (a, b), b)
ON_PATH(unlink, (const char *a), (a), a)
ON_PATH(rmdir, (const char *a), (a), a)
ON_PATH(mkdir, (const char *a, mode_t m), (a, m), a)

/* As shutil.rmtree calls it: by a name in an open folder, so below which one is not known. */
int unlinkat(int folder, const char *path, int flags)
{
    int code = REAL(unlinkat)(folder, path, flags);
    if (!code && crash_at >= 0)
        done();
    return code;
}
