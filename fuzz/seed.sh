#!/bin/sh
# Fills fuzz/corpus/ from the golden transcripts: what each party said to us, as a whole and line by line.
set -eu
cd "$(dirname "$0")"

# said LETTER FILE: the lines of one speaker, as they go over the wire.
said() {
    sed -n "s/^$1: \{0,1\}//p" "$2" | grep -v '^<TLS>$' | sed 's/$/\r/' || true
}

# seed TARGET NAME [OPTIONS]: takes the corpus file from standard input.
seed() {
    mkdir -p "corpus/$1"
    { printf '%b' "${3-}"; cat; } >"corpus/$1/$2"
}

count=0
for protocol in smtp pop3 imap; do
    for transcript in ../tests/transcripts/"$protocol"/*.txt; do
        name=$protocol-$(basename "$transcript" .txt)
        # The first byte chooses the encryption, the second the size of the pieces; see protocol/src/fuzz.rs.
        for encryption in 0 1 2 3; do
            said C "$transcript" | seed "${protocol}_server" "$name-$encryption" "\\0$encryption\\07"
        done
        # STARTTLS or not, times a token or one of two passwords, by what is announced; see protocol/src/fuzz.rs.
        for options in 30 31 32 33 34 35; do
            said U "$transcript" | seed "${protocol}_client" "$name-$options" "\0$options\07"
        done
        said C "$transcript" | seed line_buffer "$name" '\05'
        said U "$transcript" | seed smtp_reply "$name"
        # From the first command on, so that literals follow what announces them.
        said C "$transcript" | seed imap_login "$name"
        for mechanism in 0 1 2 3; do
            said C "$transcript" | sed 's/^.* //' | seed sasl "$name-$mechanism" "\\0$mechanism"
        done
        count=$((count + 1))
    done
done

number=0
cat ../tests/transcripts/*/*.txt | grep '^[CU]:' | sort -u | cut -c4- |
    while IFS= read -r line; do
        number=$((number + 1))
        printf '%s' "$line" | seed smtp_command "$number"
        printf '%s' "$line" | seed pop3 "$number"
        printf '%s' "$line" | seed imap "$number"
        printf '%s\r\n' "$line" | seed imap_login "$number"
        printf '%s\r\n' "$line" | seed imap_response "$number"
    done
echo "seeded from $count transcripts"
