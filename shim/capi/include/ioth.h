/* The Internet of Threads: BSD sockets on several TCP/IP stacks in one process, on real file descriptors.
 *
 * The names, arguments and meanings of libioth, and some more. See ioth(7). Each call that is not described here is the
 * system call of that name, on sockets of every stack and on any other descriptor.
 */
#ifndef IOTH_H
#define IOTH_H

#include <ifaddrs.h>
#include <netdb.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <sys/uio.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__) || defined(__clang__)
#define IOTH_SENTINEL __attribute__((sentinel))
#else
#define IOTH_SENTINEL
#endif

/* A stack. NULL, as an argument, is the one of the kernel. */
struct ioth;

/* What the headers of the system tell only to programs that ask for more than C11. */
struct addrinfo;
struct hostent;
struct ifaddrs;
struct mmsghdr;
struct timespec;

/* ---- stacks: ioth_newstack(3) ---- */

/* Does nothing: libioth asks for it. */
void ioth_set_license(const char *spdx);

/* stack: NULL, "" or "kernel" for the kernel's, "smoltcp[,configuration]"; vnl: "[ifname:]VNL", or NULL for no interface. */
struct ioth *ioth_newstack(const char *stack, const char *vnl);
/* One interface for each further argument; (char *) NULL is the last. */
struct ioth *ioth_newstackl(const char *stack, const char *vnl, ...) IOTH_SENTINEL;
struct ioth *ioth_newstackv(const char *stack, const char *vnlv[]);
/* "stack=...,vnl=...," and a configuration: ioth_config(3). */
struct ioth *ioth_newstackc(const char *config);
/* EBUSY while sockets are open. */
int ioth_delstack(struct ioth *stack);

/* The stack of ioth_socket() in all threads that have none of their own. */
void ioth_set_defstack(struct ioth *stack);
/* The one of the calling thread; NULL: that of the process again. */
int ioth_set_defstack_thread(struct ioth *stack);
struct ioth *ioth_get_defstack(void);

/* ---- sockets: ioth_msocket(3) ---- */

int ioth_msocket(struct ioth *stack, int domain, int type, int protocol);
int ioth_socket(int domain, int type, int protocol);
int ioth_close(int fd);
int ioth_bind(int fd, const struct sockaddr *addr, socklen_t addrlen);
int ioth_connect(int fd, const struct sockaddr *addr, socklen_t addrlen);
int ioth_listen(int fd, int backlog);
int ioth_accept(int fd, struct sockaddr *addr, socklen_t *addrlen);
int ioth_accept4(int fd, struct sockaddr *addr, socklen_t *addrlen, int flags);
int ioth_getsockname(int fd, struct sockaddr *addr, socklen_t *addrlen);
int ioth_getpeername(int fd, struct sockaddr *addr, socklen_t *addrlen);
int ioth_setsockopt(int fd, int level, int optname, const void *optval, socklen_t optlen);
int ioth_getsockopt(int fd, int level, int optname, void *optval, socklen_t *optlen);
int ioth_shutdown(int fd, int how);
/* Always three arguments. */
int ioth_ioctl(int fd, unsigned long request, void *arg);
int ioth_fcntl(int fd, int cmd, long arg);

ssize_t ioth_read(int fd, void *buf, size_t len);
ssize_t ioth_readv(int fd, const struct iovec *iov, int iovcnt);
ssize_t ioth_recv(int fd, void *buf, size_t len, int flags);
ssize_t ioth_recvfrom(int fd, void *buf, size_t len, int flags, struct sockaddr *from, socklen_t *fromlen);
ssize_t ioth_recvmsg(int fd, struct msghdr *msg, int flags);
int ioth_recvmmsg(int fd, struct mmsghdr *msgvec, unsigned int vlen, int flags, struct timespec *timeout);
ssize_t ioth_write(int fd, const void *buf, size_t len);
ssize_t ioth_writev(int fd, const struct iovec *iov, int iovcnt);
ssize_t ioth_send(int fd, const void *buf, size_t len, int flags);
ssize_t ioth_sendto(int fd, const void *buf, size_t len, int flags, const struct sockaddr *to, socklen_t tolen);
ssize_t ioth_sendmsg(int fd, const struct msghdr *msg, int flags);
int ioth_sendmmsg(int fd, struct mmsghdr *msgvec, unsigned int vlen, int flags);

/* offset NULL: from where the file stands. */
ssize_t ioth_sendfile(int out_fd, int in_fd, off_t *offset, size_t count);

/* These wait faster than the system calls, which see sockets of stacks as well: the waiting thread runs the stacks. */
int ioth_poll(struct pollfd *fds, nfds_t nfds, int timeout);
int ioth_ppoll(struct pollfd *fds, nfds_t nfds, const struct timespec *timeout, const sigset_t *sigmask);
int ioth_select(int nfds, fd_set *readfds, fd_set *writefds, fd_set *exceptfds, struct timeval *timeout);
int ioth_pselect(int nfds, fd_set *readfds, fd_set *writefds, fd_set *exceptfds, const struct timespec *timeout,
                 const sigset_t *sigmask);
int ioth_epoll_create(int size);
int ioth_epoll_create1(int flags);
int ioth_epoll_ctl(int epfd, int op, int fd, struct epoll_event *event);
int ioth_epoll_wait(int epfd, struct epoll_event *events, int maxevents, int timeout);
int ioth_epoll_pwait(int epfd, struct epoll_event *events, int maxevents, int timeout, const sigset_t *sigmask);

/* ---- names: over the default stack; ioth_mgetaddrinfo: over any ---- */

int ioth_getaddrinfo(const char *node, const char *service, const struct addrinfo *hints, struct addrinfo **res);
int ioth_mgetaddrinfo(struct ioth *stack, const char *node, const char *service, const struct addrinfo *hints,
                      struct addrinfo **res);
/* The addresses of IPv4 of a name; NULL and h_errno. What it gives is the thread's until its next call. */
struct hostent *ioth_gethostbyname(const char *name);
/* The same for AF_INET6, too; and the name of an address. */
struct hostent *ioth_gethostbyname2(const char *name, int family);
struct hostent *ioth_gethostbyaddr(const void *addr, socklen_t len, int family);
/* For what ioth_getaddrinfo() and ioth_mgetaddrinfo() gave, and nothing else. */
void ioth_freeaddrinfo(struct addrinfo *res);
const char *ioth_gai_strerror(int errcode);
int ioth_getnameinfo(const struct sockaddr *addr, socklen_t addrlen, char *host, socklen_t hostlen, char *serv,
                     socklen_t servlen, int flags);

/* ---- configuration: ioth_config(3); stack: a struct ioth * ---- */

#define MAC_ADDRSTRLEN 18

/* What ioth_config() was asked for. */
#define IOTH_CONFIG_STATIC 1
#define IOTH_CONFIG_ETH 2
#define IOTH_CONFIG_DHCP 4
#define IOTH_CONFIG_DHCPV6 8
#define IOTH_CONFIG_RD 16

/* A parameter of ioth_iplink_add(); the VNL of an interface of the type "vde". */
struct nl_iplink_data {
  int tag;
  int len;
  const void *data;
};

int ioth_config(struct ioth *stack, const char *config);
/* To be given to free(). */
char *ioth_resolvconf(struct ioth *stack, const char *config);

unsigned int ioth_if_nametoindex(void *stack, const char *ifname);
int ioth_linksetupdown(void *stack, unsigned int ifindex, int updown);
int ioth_linksetaddr(void *stack, unsigned int ifindex, void *macaddr);
int ioth_linkgetaddr(void *stack, unsigned int ifindex, void *macaddr);
int ioth_linksetmtu(void *stack, unsigned int ifindex, unsigned int mtu);
int ioth_iplink_add(void *stack, const char *ifname, unsigned int ifindex, const char *type,
                    const struct nl_iplink_data *data, int n);
int ioth_iplink_del(void *stack, const char *ifname, unsigned int ifindex);
/* Sends a netlink message, and waits for what becomes of it. */
int ioth_nldialog(void *stack, void *nlmsg);
int ioth_ipaddr_add(void *stack, int family, void *addr, int prefixlen, int ifindex);
int ioth_ipaddr_del(void *stack, int family, void *addr, int prefixlen, int ifindex);
/* dst NULL and 0: the default route. */
int ioth_iproute_add(void *stack, int family, void *dst, int dst_prefixlen, void *gw, int ifindex);
int ioth_iproute_del(void *stack, int family, void *dst, int dst_prefixlen, void *gw, int ifindex);
int ioth_getifaddrs(void *stack, struct ifaddrs **ifap);
/* For what ioth_getifaddrs() gave, and nothing else. */
void ioth_freeifaddrs(struct ifaddrs *ifa);

/* Six bytes as text, NULL if there is no room; and back, 1 or 0 for what is no Ethernet address. */
const char *ioth_ntomac(const void *macaddr, char *buf, size_t len);
int ioth_macton(const char *buf, void *macaddr);

#ifdef __cplusplus
}
#endif

#endif
