import Glibc

/// A terminal that shows one screen after another and tells of keys. It is as before when this ends.
final class Terminal {
    private var before = termios()

    /// Nil if standard input and output are no terminal.
    init?() {
        guard isatty(STDIN_FILENO) == 1, isatty(STDOUT_FILENO) == 1, tcgetattr(STDIN_FILENO, &before) == 0 else {
            return nil
        }
        var raw = before
        raw.c_lflag &= ~tcflag_t(ICANON | ECHO | ISIG)
        guard tcsetattr(STDIN_FILENO, TCSANOW, &raw) == 0 else { return nil }
        // Another screen, so that the one of before is there again afterwards, no cursor, and no long lines wrapped.
        Terminal.write("\u{1B}[?1049h\u{1B}[?25l\u{1B}[?7l")
    }

    deinit {
        Terminal.write("\u{1B}[?7h\u{1B}[?25h\u{1B}[?1049l")
        tcsetattr(STDIN_FILENO, TCSADRAIN, &before)
    }

    /// Columns and lines; 80 and 24 if standard output is no terminal.
    static var size: (width: Int, height: Int) {
        var size = winsize()
        guard ioctl(STDOUT_FILENO, UInt(TIOCGWINSZ), &size) == 0, size.ws_col > 0, size.ws_row > 0 else {
            return (80, 24)
        }
        return (Int(size.ws_col), Int(size.ws_row))
    }

    /// Shows lines in place of those of before, as many as there is room for.
    func show(_ lines: [String]) {
        let height = Terminal.size.height
        let lines = lines.prefix(height)
        // What was there is erased before a line: after one that is as wide as the screen, its last sign would be.
        let text = lines.map { "\u{1B}[K" + $0 }.joined(separator: "\r\n")
        Terminal.write("\u{1B}[H" + text + (lines.count < height ? "\r\n\u{1B}[J" : ""))
    }

    /// Waits for a key.
    /// - Parameter milliseconds: The maximum time.
    /// - Parameter other: A descriptor that ends the waiting too.
    /// - Returns: The key; 0 if `other` has ended the waiting, or the terminal is gone; nil if the time is up.
    func key(milliseconds: Int, or other: Int32) -> UInt8? {
        var polls = [
            pollfd(fd: STDIN_FILENO, events: Int16(POLLIN), revents: 0),
            pollfd(fd: other, events: Int16(POLLIN), revents: 0),
        ]
        guard poll(&polls, nfds_t(polls.count), Int32(clamping: max(0, milliseconds))) > 0 else { return nil }
        guard polls[1].revents == 0 else { return 0 }
        var key: UInt8 = 0
        return read(STDIN_FILENO, &key, 1) == 1 ? key : 0
    }

    private static func write(_ text: String) {
        var rest = Array(text.utf8)[...]
        while !rest.isEmpty {
            let count = rest.withUnsafeBytes { Glibc.write(STDOUT_FILENO, $0.baseAddress, $0.count) }
            guard count > 0 else { return }
            rest = rest.dropFirst(count)
        }
    }
}
