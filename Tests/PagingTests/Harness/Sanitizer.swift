import Glibc

/// Which sanitizer the tests run under: it makes them many times slower, so fewer seeds are to do.
enum Sanitizer {
    static let isThread = dlsym(nil, "__tsan_init") != nil
    static let isAddress = dlsym(nil, "__asan_init") != nil
}
