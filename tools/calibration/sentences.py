"""Plain sentences in many languages, put together from parts: when, who, does what."""

# language: (form, times, subjects, predicates). Subjects are third person singular, so that every subject goes with every predicate.
GRAMMARS = {
    "English": ("{s} {p} {t}.",
        "before breakfast|late in the evening|every second Tuesday|when the rain stops|during the long winter|at a quarter past nine",
        "My neighbour|The old librarian|A young engineer|Her sister|The captain of the ferry|The committee",
        "repairs the clock in the town hall|writes a letter to the council|measures the depth of the lake|bakes bread for the whole street|"
        "reads the newspaper aloud|compares two maps of the same valley"),
    "German": ("{t} {p} {s}.",
        "Vor dem Frühstück|Spät am Abend|Jeden zweiten Dienstag|Während des langen Winters|Um Viertel nach neun|Nach der Prüfung",
        "meine Nachbarin ihr Werkzeug|der Bibliothekar sein Fahrrad|die Ingenieurin ihre Notizen|der Kapitän seine Seekarte|"
        "ihr Bruder den Schlüssel|das Mädchen seine Gummistiefel",
        "sucht|vergisst|zeigt|verkauft|findet|überprüft"),
    "French": ("{t}, {s} {p}.",
        "Avant le petit déjeuner|Tard le soir|Un mardi sur deux|Pendant l’hiver|À neuf heures et quart|Après l’examen",
        "ma voisine|le bibliothécaire|une jeune ingénieure|le capitaine du bac|sa sœur|l’élève",
        "répare l’horloge de la mairie|écrit une lettre au conseil|mesure la profondeur du lac|prépare du pain pour toute la rue|"
        "lit le journal à voix haute|compare deux cartes de la même vallée"),
    "Spanish": ("{t}, {s} {p}.",
        "Antes del desayuno|Por la noche|Un martes de cada dos|Durante el largo invierno|A las nueve y cuarto|Después del examen",
        "mi vecina|el bibliotecario|una joven ingeniera|el capitán del transbordador|su hermana|la niña",
        "repara el reloj del ayuntamiento|escribe una carta al consejo|mide la profundidad del lago|hornea pan para toda la calle|"
        "lee el periódico en voz alta|compara dos mapas del mismo valle"),
    "Portuguese": ("{t}, {s} {p}.",
        "Antes do café da manhã|À noite|Durante o longo inverno|Às nove e quinze|Depois da prova|No fim de semana",
        "minha vizinha|o bibliotecário|uma jovem engenheira|o capitão da balsa|a irmã dela|o aluno",
        "conserta o relógio da prefeitura|escreve uma carta ao conselho|mede a profundidade do lago|assa pão para a rua inteira|"
        "lê o jornal em voz alta|compara dois mapas do mesmo vale"),
    "Italian": ("{t} {s} {p}.",
        "Prima di colazione|La sera tardi|Un martedì su due|Durante il lungo inverno|Alle nove e un quarto|Dopo l’esame",
        "la mia vicina|il bibliotecario|una giovane ingegnera|il capitano del traghetto|sua sorella|la studentessa",
        "ripara l’orologio del municipio|scrive una lettera al consiglio|misura la profondità del lago|cuoce il pane per tutta la via|"
        "legge il giornale ad alta voce|confronta due mappe della stessa valle"),
    "Dutch": ("{s} {p} {t}.",
        "voor het ontbijt|laat op de avond|om kwart over negen|tijdens de lange winter|na het examen|als de regen ophoudt",
        "Mijn buurvrouw|De bibliothecaris|Een jonge ingenieur|De kapitein van de veerboot|Haar zus|Het meisje",
        "repareert de klok|schrijft een brief|meet de diepte van het meer|bakt brood|leest de krant|vergelijkt twee kaarten"),
    "Polish": ("{t} {s} {p}.",
        "Przed śniadaniem|Późnym wieczorem|W co drugi wtorek|Podczas długiej zimy|Kwadrans po dziewiątej|Po egzaminie",
        "moja sąsiadka|stary bibliotekarz|młoda inżynierka|kapitan promu|jej siostra|uczennica",
        "naprawia zegar w ratuszu|pisze list do rady|mierzy głębokość jeziora|piecze chleb dla całej ulicy|czyta gazetę na głos|"
        "porównuje dwie mapy tej samej doliny"),
    "Turkish": ("{t} {s} {p}.",
        "Kahvaltıdan önce|Akşam geç saatlerde|İki haftada bir salı günü|Uzun kış boyunca|Dokuzu çeyrek geçe|Sınavdan sonra",
        "komşum|yaşlı kütüphaneci|genç mühendis|feribotun kaptanı|kız kardeşi|öğrenci",
        "belediyedeki saati onarıyor|kurula mektup yazıyor|gölün derinliğini ölçüyor|bütün sokak için ekmek pişiriyor|gazeteyi yüksek sesle okuyor|"
        "aynı vadinin iki haritasını karşılaştırıyor"),
    "Russian": ("{t} {s} {p}.",
        "Перед завтраком|Поздно вечером|Каждый второй вторник|Долгой зимой|В четверть десятого|После экзамена",
        "моя соседка|старый библиотекарь|молодая инженер|капитан парома|её сестра|ученица",
        "чинит часы в ратуше|пишет письмо в совет|измеряет глубину озера|печёт хлеб для всей улицы|читает газету вслух|"
        "сравнивает две карты одной долины"),
    "Ukrainian": ("{t} {s} {p}.",
        "Перед сніданком|Пізно ввечері|Щодругого вівторка|Довгої зими|Чверть на десяту|Після іспиту",
        "моя сусідка|старий бібліотекар|молода інженерка|капітан порома|її сестра|учениця",
        "лагодить годинник у ратуші|пише листа до ради|вимірює глибину озера|пече хліб для всієї вулиці|читає газету вголос|порівнює дві мапи"),
    "Greek": ("{t} {s} {p}.",
        "Πριν από το πρωινό|Αργά το βράδυ|Κάθε δεύτερη Τρίτη|Τον μακρύ χειμώνα|Στις εννέα και τέταρτο|Μετά την εξέταση",
        "η γειτόνισσά μου|ο βιβλιοθηκάριος|μια νεαρή μηχανικός|ο καπετάνιος|η αδελφή της|η μαθήτρια",
        "επισκευάζει το ρολόι|γράφει ένα γράμμα|μετρά το βάθος της λίμνης|ψήνει ψωμί|διαβάζει την εφημερίδα|συγκρίνει δύο χάρτες"),
    "Arabic": ("{t} {p} {s}.",
        "قبل الفطور|في آخر المساء|كل يوم ثلاثاء|في الشتاء الطويل|في التاسعة والربع|بعد الامتحان",
        "جاري|أمين المكتبة|المهندس الشاب|قبطان العبارة|أخوها|الطالب",
        "يصلح الساعة القديمة|يكتب رسالة إلى المجلس|يقيس عمق البحيرة|يخبز الخبز|يقرأ الجريدة بصوت عال|يقارن بين خريطتين"),
    "Hebrew": ("{t} {s} {p}.",
        "לפני ארוחת הבוקר|מאוחר בערב|בכל יום שלישי|בחורף הארוך|בתשע ורבע|אחרי המבחן",
        "השכן שלי|הספרן הזקן|המהנדס הצעיר|קברניט המעבורת|אחיה|התלמיד",
        "מתקן את השעון|כותב מכתב למועצה|מודד את עומק האגם|אופה לחם|קורא עיתון בקול|משווה שתי מפות"),
    "Persian": ("{t} {s} {p}.",
        "پیش از صبحانه|دیروقت شب|هر سه‌شنبه|در زمستان دراز|ساعت نه و ربع|پس از امتحان",
        "همسایه‌ام|کتابدار پیر|مهندس جوان|ناخدای کشتی|خواهرش|دانش‌آموز",
        "ساعت شهرداری را تعمیر می‌کند|به شورا نامه می‌نویسد|عمق دریاچه را اندازه می‌گیرد|نان می‌پزد|روزنامه را بلند می‌خواند|دو نقشه را مقایسه می‌کند"),
    "Hindi": ("{t} {s} {p}।",
        "नाश्ते से पहले|देर शाम को|हर मंगलवार|लंबी सर्दी में|सवा नौ बजे|परीक्षा के बाद",
        "मेरी पड़ोसन|बूढ़ी लाइब्रेरियन|युवा इंजीनियर मीरा|जहाज़ की कप्तान|उसकी बहन|छात्रा",
        "घड़ी ठीक करती है|परिषद को पत्र लिखती है|झील की गहराई नापती है|रोटी बनाती है|ज़ोर से अख़बार पढ़ती है|दो नक्शों की तुलना करती है"),
    "Bengali": ("{t} {s} {p}।",
        "সকালের নাস্তার আগে|রাতে|প্রতি মঙ্গলবার|দীর্ঘ শীতে|সোয়া নয়টায়|পরীক্ষার পরে",
        "আমার প্রতিবেশী|গ্রন্থাগারিক|তরুণ প্রকৌশলী|জাহাজের অধিনায়ক|তার বোন|ছাত্রী",
        "ঘড়ি মেরামত করে|পরিষদকে চিঠি লেখে|হ্রদের গভীরতা মাপে|রুটি বানায়|জোরে খবরের কাগজ পড়ে|দুটি মানচিত্র তুলনা করে"),
    "Thai": ("{t}{s}{p}",
        "ก่อนอาหารเช้า |ตอนดึก |ทุกวันอังคาร |ในฤดูหนาวอันยาวนาน |เวลาเก้านาฬิกา |หลังสอบ ",
        "เพื่อนบ้านของฉัน|บรรณารักษ์|วิศวกรหนุ่ม|กัปตันเรือ|น้องสาวของเธอ|นักเรียน",
        "ซ่อมนาฬิกา|เขียนจดหมายถึงสภา|วัดความลึกของทะเลสาบ|อบขนมปัง|อ่านหนังสือพิมพ์เสียงดัง|เปรียบเทียบแผนที่สองแผ่น"),
    "Chinese": ("{t}，{s}{p}。",
        "早饭前|深夜|每隔一个星期二|在漫长的冬天里|九点一刻|考试以后",
        "我的邻居|老图书管理员|年轻的工程师|渡轮船长|她的妹妹|委员会主任",
        "修理市政厅的钟|给议会写信|测量湖水的深度|为整条街烤面包|大声朗读报纸|比较同一山谷的两张地图"),
    "Japanese": ("{t}、{s}は{p}。",
        "朝食の前に|夜遅く|隔週の火曜日に|長い冬のあいだ|九時十五分に|試験のあとで",
        "隣の人|年老いた司書|若い技術者|渡し船の船長|彼女の妹|生徒会長",
        "市役所の時計を直します|議会に手紙を書きます|湖の深さを測ります|町内のためにパンを焼きます|新聞を声に出して読みます|同じ谷の地図を二枚くらべます"),
    "Korean": ("{t} {s} {p}.",
        "아침 식사 전에|늦은 저녁에|격주 화요일마다|긴 겨울 동안|아홉 시 십오 분에|시험이 끝난 뒤에",
        "우리 이웃은|나이 든 사서는|젊은 기술자는|나룻배 선장은|그녀의 동생은|그 학생은",
        "시청의 시계를 고칩니다|의회에 편지를 씁니다|호수의 깊이를 잽니다|온 동네를 위해 빵을 굽습니다|신문을 소리 내어 읽습니다|같은 골짜기의 지도 두 장을 비교합니다"),
    "Vietnamese": ("{t}, {s} {p}.",
        "Trước bữa sáng|Tối muộn|Cứ hai tuần một lần|Suốt mùa đông dài|Lúc chín giờ mười lăm|Sau kỳ thi",
        "bà hàng xóm của tôi|người thủ thư già|cô kỹ sư trẻ|thuyền trưởng|em gái cô ấy|cậu học sinh",
        "sửa chiếc đồng hồ|viết thư cho hội đồng|đo độ sâu của hồ|nướng bánh mì|đọc to tờ báo|so sánh hai tấm bản đồ"),
    "Indonesian": ("{t}, {s} {p}.",
        "Sebelum sarapan|Larut malam|Setiap dua minggu|Selama musim hujan|Pukul sembilan lewat seperempat|Setelah ujian",
        "tetangga saya|pustakawan tua itu|seorang insinyur muda|kapten kapal feri|adiknya|murid itu",
        "memperbaiki jam balai kota|menulis surat kepada dewan|mengukur kedalaman danau|memanggang roti|membaca koran keras-keras|membandingkan dua peta"),
    "Swahili": ("{t}, {s} {p}.",
        "Kabla ya kifungua kinywa|Usiku|Kila Jumanne|Wakati wa mvua|Saa tatu na robo|Baada ya mtihani",
        "jirani yangu|mkutubi mzee|mhandisi kijana|nahodha wa feri|dada yake|mwanafunzi",
        "anatengeneza saa|anaandika barua|anapima kina cha ziwa|anaoka mkate|anasoma gazeti kwa sauti|analinganisha ramani mbili"),
}


def half(words, side):
    """Calibration draws from one half of the parts and evaluation from the other: no sentence stands in both."""
    return words.split("|")[side::2]


def sentence(rng, language, side):
    form, times, subjects, predicates = GRAMMARS[language]
    return form.format(t=rng.choice(half(times, side)), s=rng.choice(half(subjects, side)), p=rng.choice(half(predicates, side)))


def paragraph(rng, language, side, sentences):
    """Different sentences of one language."""
    lines = []
    while len(lines) < sentences:
        line = sentence(rng, language, side)
        if line not in lines:
            lines.append(line)
    return ("" if language in ("Chinese", "Japanese") else " ").join(lines)
