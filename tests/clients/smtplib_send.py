"""Sends a message with Python's smtplib: HOST PORT implicit|starttls CA_FILE USER PASSWORD MESSAGE_FILE."""

import smtplib
import ssl
import sys

host, port, tls, ca_file, user, password, message = sys.argv[1:]
context = ssl.create_default_context(cafile=ca_file)
if tls == "implicit":
    client = smtplib.SMTP_SSL(host, int(port), context=context, timeout=60)
else:
    client = smtplib.SMTP(host, int(port), timeout=60)
    client.starttls(context=context)
client.login(user, password)
with open(message, "rb") as file:
    client.sendmail(user, [user], file.read(), mail_options=["BODY=8BITMIME"])
client.quit()
