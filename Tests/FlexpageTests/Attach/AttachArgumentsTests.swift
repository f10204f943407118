import ArgumentParser
import Testing

@testable import flexpage

/// What `flexpage attach` and `flexpage detach` take, and how they refuse the rest.
@Suite struct AttachArgumentsTests {
    private let uri = "nbd://localhost"

    @Test(arguments: [("/dev/nbd0", 0), ("/dev/nbd15", 15), ("/dev/nbd32767", 32767)])
    func devices(_ text: String, index: UInt32) throws {
        let device = try NBDDevice(parsing: text)
        #expect(device.index == index)
        #expect(device.description == text)
    }

    @Test(arguments: [
        "", "/dev/nbd", "nbd0", "/dev/nbd0p1", "/dev/nbd-1", "/dev/nbd+1", "/dev/nbd00", "/dev/nbd32768", "/dev/sda",
        "/dev/nbd1 ", "/dev/nbd99999999999999999999", "/dev/nbd٣",
    ])
    func noDevices(_ text: String) {
        #expect(complaint(uri, text).contains("expected a device of the kernel's NBD client: /dev/nbdN"))
    }

    @Test(arguments: [
        "nbd://localhost", "nbd://[::1]:10810/name", "nbd+unix:///?socket=/tmp/s", "NBD+UNIX:///a%20b?socket=/tmp/s",
    ])
    func addresses(_ text: String) throws {
        let command = try #require(try FlexpageCommand.parseAsRoot(["attach", text, "/dev/nbd1"]) as? Attach)
        #expect(command.uri.text == text)
        #expect(command.device.index == 1)
        #expect(command.wait == 120)
        #expect(command.connections == 1)
    }

    @Test(arguments: ["", "localhost", "/tmp/socket", "http://localhost", "nbd:localhost", "nbd+vsock://1"])
    func noAddresses(_ text: String) {
        #expect(
            complaint(text, "/dev/nbd0").contains("expected nbd://HOST[:PORT]/EXPORT or nbd+unix:///EXPORT?socket="))
    }

    @Test(arguments: ["nbds://localhost", "nbds+unix:///?socket=/tmp/s"]) func noTLS(_ text: String) {
        #expect(complaint(text, "/dev/nbd0").contains("the kernel's client does not speak TLS"))
    }

    @Test(arguments: [
        (["--wait=-1"], "--wait must be from 0 to 31536000"),
        (["--wait=31536001"], "--wait must be from 0 to 31536000"),
        (["--connections", "0"], "--connections must be from 1 to 64"),
        (["--connections", "65"], "--connections must be from 1 to 64"),
        (["--wait", "soon"], "The value 'soon' is invalid for '--wait"),
    ])
    func options(_ options: [String], problem: String) {
        #expect(complaint([uri, "/dev/nbd0"] + options).contains(problem))
    }

    @Test func detachTakesADevice() throws {
        let command = try #require(try FlexpageCommand.parseAsRoot(["detach", "/dev/nbd7"]) as? Detach)
        #expect(command.device.index == 7)
        #expect(throws: (any Error).self) { try FlexpageCommand.parseAsRoot(["detach", "/dev/sda"]) }
    }

    private func complaint(_ arguments: String...) -> String { complaint(arguments) }

    private func complaint(_ arguments: [String]) -> String {
        do {
            _ = try FlexpageCommand.parseAsRoot(["attach"] + arguments)
            return "none"
        } catch {
            return FlexpageCommand.fullMessage(for: error)
        }
    }
}
