import Glibc

/// The sanitizer that the tests run under. It makes them many times slower, so they run fewer seeds.
enum Sanitizer {
    static let isThread = dlsym(nil, "__tsan_init") != nil
    static let isAddress = dlsym(nil, "__asan_init") != nil
}
