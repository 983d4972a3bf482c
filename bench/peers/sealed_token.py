"""Prints what email-oauth2-proxy keeps of an account that is authorized: its access token, encrypted with a key from the
password. Reads the password and the token from standard input, a line each."""

import base64
import os
import sys

from cryptography.fernet import Fernet
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.pbkdf2 import PBKDF2HMAC

ITERATIONS = 1_200_000  # what version 2026.7.3 uses for new accounts

password, token = sys.stdin.read().splitlines()
salt = os.urandom(16)
key = PBKDF2HMAC(algorithm=hashes.SHA256(), length=32, salt=salt, iterations=ITERATIONS).derive(password.encode())
sealed = Fernet(base64.urlsafe_b64encode(key)).encrypt(token.encode())
print("token_salt =", base64.b64encode(salt).decode())
print("token_iterations =", ITERATIONS)
print("access_token =", sealed.decode())
print("access_token_expiry = 4102444800")
