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

    /// Whether the first image has been stamped after its last write, and there was one.
    var isStamped: Bool {
        get throws {
            let record = Array(try Files.bytes(path, upTo: Self.firstRecord + 1024)[Self.firstRecord...])
            func word(_ offset: Int) -> [UInt8] { Array(record[offset..<offset + 8]) }
            return record[Self.stamped] == 1 && word(Self.begun) == word(Self.begunWhenStamped)
                && word(Self.begun).contains { $0 != 0 }
        }
    }

    /// Makes the record of the first image prove nothing.
    func forgetStamp() throws { try Files.write([0, 0, 0, 0], to: path, at: Self.firstRecord + Self.stamped) }

    /// Makes it look as if a failed sync had lost data of the first image.
    func noteLoss(_ error: Int32) throws { try Files.write([UInt8(error)], to: path, at: Self.firstRecord + Self.loss) }

    // Where the header and a record of an image have what (CStateFormat.h).
    private static let shortLives = 104
    private static let firstRecord = 4096
    private static let loss = 48
    private static let stamped = 52
    private static let begun = 112
    private static let begunWhenStamped = 128
}
