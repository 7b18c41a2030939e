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

def probe():
    found = []
    if sorted(os.listdir('/')) != ['bin', 'dev', 'lib', 'lib64', 'usr']:
        found.append('sees ' + ' '.join(sorted(os.listdir('/'))))
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
    if os.getpid() > 9:
        found.append('sees the pids of the host')
    if os.uname().nodename != 'jail':
        found.append('sees the name of the host')
    if sys.flags.hash_randomization:
        found.append('hashes differ between runs')
    ours = {'PATH', 'PYTHONHASHSEED', 'MALLOC_ARENA_MAX', 'LANG', 'PWD', 'LC_CTYPE'}
    if set(os.environ) - ours:
        found.append('has an environment')
    soft = resource.getrlimit
    if soft(resource.RLIMIT_CPU)[1] == -1 or soft(resource.RLIMIT_NPROC)[1] > 64:
        found.append('has no limits')
    return found
)python";

}  // namespace grouper
