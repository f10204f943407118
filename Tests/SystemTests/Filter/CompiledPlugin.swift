import TestSupport

/// A plugin of nbdkit in C that a test compiles: the end of a file that begins with what each needs. It reads as zeroes
/// unless it says otherwise.
enum CompiledPlugin {
    static var canBeBuilt: Bool { Subprocess.exists("cc") }

    /// Compiles it in `scratch`.
    /// - Parameter callbacks: Initializers for its struct, beside those of the beginning.
    /// - Returns: Its path, for nbdkit.
    static func build(_ code: String, callbacks: String, in scratch: Scratch) throws -> String {
        let (source, path) = (scratch.path("mine.c"), scratch.path("nbdkit-mine-plugin.so"))
        let end = """
            static struct nbdkit_plugin plugin = {
                .name = "mine", .open = my_open, .get_size = my_size, \(callbacks)
            };
            NBDKIT_REGISTER_PLUGIN(plugin)

            """
        try Files.write(Array("\(beginning)\n\(code)\n\(end)".utf8), to: source)
        let result = try Subprocess.run("cc", "-shared", "-fPIC", "-O1", "-Wall", "-Werror", "-o", path, source)
        guard result.status == 0 else { throw Trouble("cc: \(result.output)") }
        return path
    }

    private static let beginning = """
        #define _GNU_SOURCE
        #include <errno.h>
        #include <stdint.h>
        #include <string.h>
        #include <unistd.h>
        #define NBDKIT_API_VERSION 2
        #include <nbdkit-plugin.h>
        #define THREAD_MODEL NBDKIT_THREAD_MODEL_PARALLEL
        static void *my_open(int readonly) { (void)readonly; return NBDKIT_HANDLE_NOT_NEEDED; }
        static int64_t my_size(void *handle) { (void)handle; return 1 << 20; }
        """
}
