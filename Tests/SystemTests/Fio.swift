import TestSupport

/// fio with its nbd engine.
enum Fio {
    static var isThere: Bool {
        Subprocess.exists("fio") && (try? Subprocess.run("fio", "--enghelp=nbd").status) == 0
    }

    /// Runs the jobs together against the export at `uri`.
    static func run(_ uri: String, _ scratch: Scratch, jobs: [String]) throws -> (status: Int32, output: String) {
        let file = scratch.path("jobs.fio")
        let global = "[global]\nioengine=nbd\nuri=\(uri)\niodepth=16\nrandseed=17\nverify_state_save=0\n"
        try Files.write(Array((global + jobs.joined(separator: "\n") + "\n").utf8), to: file)
        return try Subprocess.run("fio", file, seconds: 1800)
    }
}
