/* Between a process and its disk and network: counts what it does there, kills it at the n-th, or fails it.

   Preloaded (LD_PRELOAD). ASBUILT_FAULTS names a file of four ints that the test writes too, while we run:
   done so far; kill before which (0: none); the errno that what fails gives (0: nothing fails); what fails.
   Counted are fsync and fdatasync, writes to files, and what is sent over a network. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

enum { DONE, AT, ERROR, WHAT, NUMBERS };
enum { NOTHING = 0, WRITE = 1, SYNC = 2 };

static volatile int *plan(void)
{
    static volatile int *mapped;
    const char *name = getenv("ASBUILT_FAULTS");
    if (!mapped && name) {
        int file = open(name, O_RDWR | O_CLOEXEC);
        if (file >= 0) {
            void *at = mmap(NULL, NUMBERS * sizeof(int), PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
            mapped = at == MAP_FAILED ? NULL : at;
            close(file);
        }
    }
    return mapped;
}

static int on_disk(int number)
{
    struct stat found;
    return number > 2 && !fstat(number, &found) && S_ISREG(found.st_mode);
}

static int on_network(int number)
{
    int family = 0;
    socklen_t size = sizeof family;
    return !getsockopt(number, SOL_SOCKET, SO_DOMAIN, &family, &size) && (family == AF_INET || family == AF_INET6);
}

#define COUNTED(counted, what, call)                                           \
    volatile int *now = plan();                                                \
    int number = now && (counted) ? __sync_add_and_fetch(&now[DONE], 1) : 0;   \
    if (number && number == now[AT])                                           \
        kill(getpid(), SIGKILL);                                               \
    if (number && (now[WHAT] & (what)) && now[ERROR]) {                        \
        errno = now[ERROR];                                                    \
        return -1;                                                             \
    }                                                                          \
    return (call)

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

int fsync(int fd) { COUNTED(on_disk(fd), SYNC, REAL(fsync)(fd)); }
int fdatasync(int fd) { COUNTED(on_disk(fd), SYNC, REAL(fdatasync)(fd)); }
ssize_t write(int fd, const void *data, size_t size) { COUNTED(on_disk(fd), WRITE, REAL(write)(fd, data, size)); }
ssize_t pwrite(int fd, const void *data, size_t size, off_t at)
{
    COUNTED(on_disk(fd), WRITE, REAL(pwrite)(fd, data, size, at));
}
ssize_t pwrite64(int fd, const void *data, size_t size, off64_t at)
{
    COUNTED(on_disk(fd), WRITE, REAL(pwrite64)(fd, data, size, at));
}
ssize_t send(int fd, const void *data, size_t size, int flags)
{
    COUNTED(on_network(fd), NOTHING, REAL(send)(fd, data, size, flags));
}
ssize_t sendto(int fd, const void *data, size_t size, int flags, const struct sockaddr *to, socklen_t length)
{
    COUNTED(on_network(fd), NOTHING, REAL(sendto)(fd, data, size, flags, to, length));
}
ssize_t sendmsg(int fd, const struct msghdr *message, int flags)
{
    COUNTED(on_network(fd), NOTHING, REAL(sendmsg)(fd, message, flags));
}
