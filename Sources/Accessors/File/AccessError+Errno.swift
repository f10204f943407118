import Glibc
import Paging

extension AccessError {
    /// - Parameter answer: A negative errno value. A value that no errno has becomes EIO.
    init(failing answer: some FixedWidthInteger & SignedInteger) {
        let code = -Int64(answer)
        self.init((1...255).contains(code) ? Int32(code) : EIO)
    }
}
