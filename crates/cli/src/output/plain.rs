//! Text that others wrote: it must not move a terminal's cursor or look like more than it is.

/// One line of at most `chars_max` characters; what is cut off is marked.
pub(crate) fn one_line(text: &str, chars_max: usize) -> String {
    let mut line = String::new();
    let mut count = 0;
    // Blanks in a row, line ends too, are one blank.
    for word in text.split_whitespace() {
        let blank = usize::from(!line.is_empty());
        for (at, c) in word.chars().enumerate() {
            let added = if at == 0 { blank + 1 } else { 1 };
            if count + added > chars_max.saturating_sub(1) {
                line.push('…');
                return line;
            }
            if at == 0 && blank == 1 {
                line.push(' ');
            }
            line.push(if c.is_control() { '·' } else { c });
            count += added;
        }
    }
    line
}

/// The text as it is, for a terminal: line ends and tabs stay, other control characters are shown.
pub(crate) fn shown(text: &str) -> String {
    text.chars()
        .map(|c| match c {
            '\n' | '\t' => c,
            c if c.is_control() => '·',
            c => c,
        })
        .collect()
}

#[cfg(test)]
mod tests;
