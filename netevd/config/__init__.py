"""
The configuration: what it may say (`schema`), how a file becomes one (`load`), who asks (`reader`).

Every problem is collected with file, line and column; nothing here raises for what a file says.
"""
