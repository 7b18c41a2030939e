#include "reward/jail/harness.h"

namespace grouper {

const char kPythonHarness[] = R"python(
def harness():
    import _json, os, resource
    read, write, leave = os.read, os.write, os._exit
    pending = [b'']
    def line():
        while b'\n' not in pending[0]:
            try:
                part = read(0, 65536)
            except OSError:
                part = b''
            if not part:
                leave(0)
            pending[0] += part
        head, pending[0] = pending[0].split(b'\n', 1)
        return head.decode()
    def literal(text):
        return eval(text, {'__builtins__': {}})
    nonce = line()
    cpu, memory, threads = literal(line())
    def put(data):
        while data:
            data = data[write(3, data):]
    def say(text):
        put((nonce + ' ' + text + '\n').encode('ascii', 'backslashreplace'))
    # Made while there is memory to make it.
    no_memory = (nonce + ' memory\n').encode()
    quiet = os.open('/dev/null', os.O_RDWR)
    os.dup2(quiet, 1)
    os.dup2(quiet, 2)
    limit = resource.setrlimit
    limit(resource.RLIMIT_CORE, (0, 0))
    limit(resource.RLIMIT_FSIZE, (0, 0))
    limit(resource.RLIMIT_NOFILE, (64, 64))
    if threads:
        limit(resource.RLIMIT_NPROC, (threads, threads))
    limit(resource.RLIMIT_STACK, (8 << 20, 8 << 20))
    limit(resource.RLIMIT_DATA, (memory, memory))
    limit(resource.RLIMIT_AS, (memory, memory))
    limit(resource.RLIMIT_CPU, (cpu, cpu + 1))
    # The parts of the module json that are compiled, so that a submission cannot change them.
    class Reading:
        strict = True
        object_hook = object_pairs_hook = parse_constant = None
        parse_float, parse_int = float, int
    scan, quote = _json.make_scanner(Reading), _json.encode_basestring_ascii
    kind_of, show = type, repr
    kinds = (type(None), bool, int, float, str, list, tuple, dict)
    NoneType, Bool, Int, Float, Str, List, Tuple, Dict = kinds
    class NotPlain(Exception):
        pass
    def plain(value, depth):
        if depth > 48:
            raise NotPlain
        kind = kind_of(value)
        if kind is NoneType:
            return 'null'
        if kind is Bool:
            return 'true' if value else 'false'
        if kind is Int:
            return '%d' % value
        if kind is Float:
            if value != value or value in (float('inf'), float('-inf')):
                raise NotPlain
            return show(value)
        if kind is Str:
            return quote(value)
        if kind is List or kind is Tuple:
            return '[' + ','.join([plain(item, depth + 1) for item in value]) + ']'
        if kind is Dict:
            parts = []
            for key in value:
                if kind_of(key) is not Str:
                    raise NotPlain
                parts.append(quote(key) + ':' + plain(value[key], depth + 1))
            return '{' + ','.join(parts) + '}'
        raise NotPlain
    def name_of(error):
        return type.__getattribute__(type(error), '__name__')[:80]
    say('ready')
    source, entry = literal(line()), literal(line())
    try:
        code = compile(source, 'solution', 'exec')
    except MemoryError:
        put(no_memory)
        leave(0)
    except BaseException as error:
        say('compile ' + name_of(error))
        leave(0)
    space = {'__name__': 'solution'}
    try:
        exec(code, space)
        function = space[entry]
        say('loaded')
        while True:
            arguments = value = text = None
            arguments = scan(line(), 0)[0]
            value = function(*arguments)
            try:
                text = plain(value, 0)
            except NotPlain:
                say('value?')
                continue
            say('value ' + text)
    except MemoryError:
        put(no_memory)
    except SystemExit:
        say('exit')
    except BaseException as error:
        say('error ' + name_of(error))
    leave(0)
harness()
)python";

}  // namespace grouper
