import Glibc
import TestSupport
import Testing

/// `flexpage warm` with a real server: a list from one server's memory serves the clone of its image.
@Suite struct WarmToolTests {
    @Test(.enabled(if: access("\(Repository.path)/.build/release/flexpage", X_OK) == 0, "needs the release build"))
    func fromAServer() throws {
        let (image, folder, scratch) = (try Image(size: 4 << 20), try ImageFolder(["clone"], size: 4 << 20), Scratch())
        let (list, control) = (scratch.path("list"), scratch.path("control"))
        let tool = "\(Repository.path)/.build/release/flexpage"
        do {
            let server = try Server(image, "memory=16M", "readahead=off", "control=\(control)")
            let client = try Client(server)
            try image.checkRead(client, 64 << 10, at: 1 << 20)
            let made = try Subprocess.run([tool, "warm", list, "--server", control])
            #expect(made.status == 0 && made.output.hasPrefix("\(list): 64 KiB in "))
            let wrong = try Subprocess.run([tool, "warm", list, "--server", control + "x"])
            #expect(wrong.status != 0 && wrong.output.contains("cannot connect"))
        }
        let server = try folder.server("memory=16M", "readahead=off", "warm=\(list)", "control=\(control)")
        let client = try Client(server, "clone")
        try Patience.wait(seconds: 60, "the clone is not warm:\n\(server.log)") {
            let images = (try? ControlConnection(control).ask("figures"))?["images"] as? [[String: Any]]
            return images?.first?["held_bytes"] as? Int == 64 << 10 ? () : nil
        }
        #expect(try client.read(4 << 20, at: 0) == folder.bytes("clone"))
    }
}
