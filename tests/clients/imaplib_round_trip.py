"""Appends a message with Python's imaplib, fetches it back, marks it and expunges it:
HOST PORT implicit|starttls CA_FILE USER PASSWORD login|plain MESSAGE_FILE TO_FILE."""

import imaplib
import ssl
import sys

host, port, tls, ca_file, user, password, how, message_file, to_file = sys.argv[1:]
context = ssl.create_default_context(cafile=ca_file)
if tls == "implicit":
    client = imaplib.IMAP4_SSL(host, int(port), ssl_context=context, timeout=60)
else:
    client = imaplib.IMAP4(host, int(port), timeout=60)
    client.starttls(ssl_context=context)


def succeeds(answer):
    status, data = answer
    assert status == "OK", answer
    return data


if how == "login":
    succeeds(client.login(user, password))
else:
    succeeds(client.authenticate("PLAIN", lambda _: f"\0{user}\0{password}".encode()))
with open(message_file, "rb") as file:
    succeeds(client.append("INBOX", None, None, file.read()))
assert succeeds(client.select("INBOX")) == [b"1"]
with open(to_file, "wb") as file:
    file.write(succeeds(client.fetch("1", "(BODY.PEEK[])"))[0][1])
flags = succeeds(client.store("1", "+FLAGS", r"(\Flagged \Deleted)"))
assert b"\\Flagged" in flags[0] and b"\\Deleted" in flags[0], flags
assert succeeds(client.expunge()) == [b"1"]
assert succeeds(client.select("INBOX")) == [b"0"]
client.close()
client.logout()
