import SystemPackage
import Testing

@testable import Accessors

@Suite("What a person reads")
struct MessageTests {
    private static let problems: [ImageError.Problem] = [
        .missing, .unreadable, .directory, .special("a FIFO"), .noDirect(.invalidArgument),
        .readOnly(.readOnlyFileSystem), .locked, .unlockable(.noLocks), .held, .unclaimable(.permissionDenied),
        .leased,
        .failed("opening", .ioError), .lockedWhole, .unmarkable(.noLocks), .outlivesLocks, .directOutlivesLocks,
        .unkeptPath, .pathless(.noSuchFileOrDirectory),
    ]

    /// Every message is one line: the image, what is wrong and, after a semicolon, the way out.
    @Test(arguments: problems)
    func message(problem: ImageError.Problem) {
        let error = ImageError("/a/disk.img", problem)
        let text = error.description
        #expect(text.hasPrefix("/a/disk.img: "))
        #expect(text.split(separator: ";").count == 2)
        #expect(!text.contains("\n"))
        #expect((1...255).contains(error.code))
    }
}
