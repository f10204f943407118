import Glibc
import SystemPackage
import TestSupport
import Testing

@testable import Accessors

@Suite("Whether the path still leads to the image")
struct ImageNameTests {
    private let scratch = Scratch()

    private func name(_ image: ImageFile, as path: FilePath? = nil) -> ImageName {
        ImageName(
            ImagePlace(path ?? image.path), image.opened.file, descriptor: image.opened.buffered.number, interval: 0)
    }

    /// A deleted image is reported, once.
    @Test func deleted() throws {
        let image = try ImageFile(path: scratch.file(pattern(4096)))
        let name = name(image)
        #expect(name.news() == nil)
        unlink(image.path.string)
        #expect(name.news() == .deleted)
        for _ in 0..<3 { #expect(name.news() == nil) }
    }

    /// So is an image that `mv`, or an editor, has replaced by another file, whether it has another name or not.
    @Test(arguments: [false, true]) func replaced(isLinked: Bool) throws {
        let image = try ImageFile(path: scratch.file(pattern(4096)))
        let name = name(image)
        if isLinked { link(image.path.string, "\(image.path).kept") }
        let new = scratch.file(pattern(4096), named: "new")
        #expect(name.news() == nil)
        rename(new.string, image.path.string)
        #expect(name.news() == (isLinked ? .replaced : .deleted))
        #expect(name.news() == nil)
    }

    /// An image that was moved is reported. It is reported again after it has been back, and not while it is.
    @Test func movedAndBack() throws {
        let image = try ImageFile(path: scratch.file(pattern(4096)))
        let name = name(image)
        for _ in 0..<3 {
            rename(image.path.string, "\(image.path).moved")
            #expect(name.news() == .moved)
            #expect(name.news() == nil)
            rename("\(image.path).moved", image.path.string)
            for _ in 0..<2 { #expect(name.news() == nil) }
        }
    }

    /// A symbolic link is followed, at each look; hard links do no harm.
    @Test func links() throws {
        let image = try ImageFile(path: scratch.file(pattern(4096)))
        let other = scratch.file(pattern(4096), named: "other")
        let link = "\(image.path).link"
        symlink(image.path.string, link)
        let name = name(image, as: FilePath(link))
        Glibc.link(image.path.string, "\(image.path).kept")
        #expect(name.news() == nil)
        unlink(link)
        symlink(other.string, link)
        #expect(name.news() == .replaced)
        unlink(link)
        symlink("\(image.path).kept", link)
        #expect(name.news() == nil)
    }

    /// A relative path is followed from the directory in which the image was opened.
    @Test func relative() throws {
        let image = try ImageFile(path: scratch.file(pattern(4096)))
        let up = FilePath(String(repeating: "../", count: 32) + image.path.string.dropFirst())
        #expect(up.isRelative)
        let name = name(image, as: up)
        #expect(name.news() == nil)
        rename(image.path.string, "\(image.path).moved")
        #expect(name.news() == .moved)
    }

    /// An image that cannot be looked at does not count as lost.
    @Test(.enabled(if: Machine.isRoot, "only root can take another user's rights")) func forbidden() throws {
        let directory = FilePath("\(scratch.directory)/closed")
        mkdir(directory.string, 0o700)
        let path = directory.appending("image")
        let bytes = scratch.file(pattern(4096), named: "open")
        rename(bytes.string, path.string)
        let image = try ImageFile(path: path)
        let name = name(image)
        #expect(asNobody { name.news() } == nil)
        #expect(name.news() == nil)
    }

    /// It is looked at once a second, and no more often.
    @Test func seldom() throws {
        let image = try ImageFile(path: scratch.file(pattern(4096)))
        let began = Patience.now
        #expect(image.newsOfName() == nil)
        unlink(image.path.string)
        var news: String?
        for _ in 0..<1000 where news == nil {
            news = image.newsOfName()
            usleep(5000)
        }
        // The clock that it reads moves with the kernel's tick, at most 10 ms.
        #expect(Patience.now - began >= 1000 - 10)
        #expect(news?.hasPrefix("\(image.path): the image has been deleted; ") == true)
    }
}
