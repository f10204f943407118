import Glibc

@testable import Accessors

extension ServerMark {
    /// Whether another open file description of the same file has this mark (F_OFD_GETLK).
    func isOnAnother(thanThat descriptor: Int32) -> Bool {
        let getLock: Int32 = 36
        var found = flock()
        found.l_type = Int16(F_WRLCK)
        found.l_whence = Int16(SEEK_SET)
        found.l_start = Int(byte)
        found.l_len = 1
        return fcntl(descriptor, getLock, &found) == 0 && found.l_type != Int16(F_UNLCK)
    }
}
