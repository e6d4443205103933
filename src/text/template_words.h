/* The two fixed texts around a list of tools, word for word as the official template has them: the model was trained on these
 * bytes. Private to template.c; every golden case whose name begins with "tools" holds them to it. */
#ifndef QW_TEXT_TEMPLATE_WORDS_H
#define QW_TEXT_TEMPLATE_WORDS_H

static const char tools_before[] = "# Tools\n"
                                   "\n"
                                   "You have access to the following functions:\n"
                                   "\n"
                                   "<tools>";

static const char tools_after[] =
    "\n</tools>"
    "\n"
    "\n"
    "If you choose to call a function ONLY reply in the following format with NO suffix:\n"
    "\n"
    "<tool_call>\n"
    "<function=example_function_name>\n"
    "<parameter=example_parameter_1>\n"
    "value_1\n"
    "</parameter>\n"
    "<parameter=example_parameter_2>\n"
    "This is the value for the second parameter\n"
    "that can span\n"
    "multiple lines\n"
    "</parameter>\n"
    "</function>\n"
    "</tool_call>\n"
    "\n"
    "<IMPORTANT>\n"
    "Reminder:\n"
    "- Function calls MUST follow the specified format: an inner <function=...></function> block must be nested within "
    "<tool_call></tool_call> XML tags\n"
    "- Required parameters MUST be specified\n"
    "- You may provide optional reasoning for your function call in natural language BEFORE the function call, but NOT after\n"
    "- If there is no function call available, answer the question like normal with your current knowledge and do not tell the user about "
    "function calls\n"
    "</IMPORTANT>";

#endif
