#include "reward/jail/probe.h"

namespace grouper {

const char kProbeProgram[] = R"python(
import os, resource, socket, sys

def tries(words, action, found):
    try:
        action()
    except (OSError, MemoryError, ValueError, AttributeError):
        return
    found.append(words)

def fork():
    if os.fork() == 0:
        os._exit(0)  # else both would answer

def in_namespaces(found):
    if sorted(os.listdir('/')) != ['bin', 'dev', 'lib', 'lib64', 'usr']:
        found.append('sees ' + ' '.join(sorted(os.listdir('/'))))
    if os.getpid() > 9:
        found.append('sees the pids of the host')
    if os.uname().nodename != 'jail':
        found.append('sees the name of the host')

def beside_others(found):
    parent = os.getppid()
    for path in ('/', '/etc', '/proc', '/proc/self', '/tmp', '/dev', '/var', '/home', '/root'):
        tries('lists ' + path, lambda: os.listdir(path), found)
    for path in ('/etc/passwd', '/etc/hostname', '/proc/self/environ', '/proc/%d/environ' % parent,
                 '/proc/self/mem', '/proc/cpuinfo'):
        tries('reads ' + path, lambda: open(path, 'rb').read(1), found)
    for path in ('/etc', '/var/tmp', '/run', '/home', '/root', '/dev/pts'):
        tries('writes to ' + path, lambda: open(path + '/probe', 'w'), found)
    for pid in (parent, 1, -1, 0):
        tries('signals process %d' % pid, lambda: os.kill(pid, 0), found)
    tries('reads the limits of its parent',
          lambda: resource.prlimit(parent, resource.RLIMIT_CORE), found)
    tries('moves its parent', lambda: os.sched_setaffinity(parent, {0}), found)
    tries('makes a folder', lambda: os.mkdir('/tmp/probe'), found)
    tries('sets times', lambda: os.utime('/tmp'), found)
    if os.getsid(0) != os.getpid():
        found.append('shares a session')

def probe(namespaces, limits_threads):
    found = []
    (in_namespaces if namespaces else beside_others)(found)
    for path in ('/', '/dev', '/dev/shm', '/usr', '/usr/lib', '/tmp'):
        tries('writes to ' + path, lambda: open(path + '/probe', 'w'), found)
    for family in (1, 2, 10, 16, 17, 38, 40):
        tries('opens a socket of family %d' % family, lambda: socket.socket(family, 1), found)
    tries('forks', fork, found)
    tries('takes a gigabyte', lambda: bytearray(1 << 30), found)
    tries('asks for shared memory', lambda: os.memfd_create('probe'), found)
    tries('raises its limits', lambda: resource.setrlimit(resource.RLIMIT_AS, (-1, -1)), found)
    tries('sets a mode', lambda: os.chmod('/dev/null', 0o777), found)
    if os.getuid() == 0 or os.geteuid() == 0:
        found.append('is root')
    if sys.flags.hash_randomization:
        found.append('hashes differ between runs')
    ours = {'PATH', 'PYTHONHASHSEED', 'MALLOC_ARENA_MAX', 'LANG', 'PWD', 'LC_CTYPE'}
    if set(os.environ) - ours:
        found.append('has an environment')
    soft = resource.getrlimit
    if soft(resource.RLIMIT_CPU)[1] == -1 or soft(resource.RLIMIT_AS)[1] == -1:
        found.append('has no limits')
    if limits_threads and not 0 < soft(resource.RLIMIT_NPROC)[1] <= 64:
        found.append('has threads without a limit')
    return found
)python";

}  // namespace grouper
