"""Fetches and deletes the first message with Python's poplib: HOST PORT implicit|starttls CA_FILE USER PASSWORD TO_FILE."""

import poplib
import ssl
import sys

host, port, tls, ca_file, user, password, to_file = sys.argv[1:]
context = ssl.create_default_context(cafile=ca_file)
if tls == "implicit":
    client = poplib.POP3_SSL(host, int(port), context=context, timeout=60)
else:
    client = poplib.POP3(host, int(port), timeout=60)
    client.stls(context)
client.user(user)
client.pass_(password)
_, lines, _ = client.retr(1)
with open(to_file, "wb") as file:
    file.writelines(line + b"\r\n" for line in lines)
client.dele(1)
client.quit()
