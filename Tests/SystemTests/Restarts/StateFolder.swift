import Glibc
import TestSupport

/// A folder on a tmpfs for a state file, and what a server is told to use it.
final class StateFolder {
    /// Whether this machine has a tmpfs where tests can put files.
    static var isAvailable: Bool { access("/dev/shm", W_OK) == 0 }
    static let needs = "there is no tmpfs at /dev/shm"

    let path: String
    private let folder: String

    init() {
        folder = "/dev/shm/flexpage-test-\(getpid())-\(UInt32.random(in: 0 ..< .max))"
        mkdir(folder, 0o700)
        path = folder + "/state"
    }

    deinit {
        unlink(path)
        rmdir(folder)
    }

    var option: String { "state=\(path)" }

    /// Makes the next server forget how many before it have died young.
    func forgetShortLives() throws { try Files.write([0, 0, 0, 0], to: path, at: Self.shortLives) }

    /// Makes it look as if a failed sync had lost data of the first image.
    func noteLoss(_ error: Int32) throws { try Files.write([UInt8(error)], to: path, at: Self.loss) }

    /// Where the record of the first image has its loss (CStateFormat.h).
    private static let loss = 4096 + 48
    /// Where the header has the number of short lives (CStateFormat.h).
    private static let shortLives = 104
}
